"""Names of the zoo's models and their origins. Does not import torch, so a mistyped name is reported at once."""

import re
import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.models.lenet_names import LENETS
from tgr_cli.paths import place

TORCHVISION, TIMM, HUB, ONNX = "torchvision:", "timm:", "hf-hub:", "onnx:"
ONNX_PACKAGES = ("onnx", "onnxruntime", "onnx2pytorch")  # what the extra `onnx` installs
FROM_LIBRARIES = {
    **{
        name: TORCHVISION + name
        for name in (
            "alexnet",
            "vgg16_bn",
            "vgg19_bn",
            "vgg19",
            "resnet18",
            "resnet34",
            "resnet50",
            "resnet101",
            "resnet152",
            "mobilenet_v2",
            "maxvit_t",
            "swin_v2_t",
            "swin_v2_s",
            "googlenet",
            "shufflenet_v2_x1_0",
            "squeezenet1_1",
        )
    },
    "focalnet_t": TIMM + "focalnet_tiny_srf",
    "focalnet_s": TIMM + "focalnet_small_srf",
}
RANDOM_WEIGHTS = "random weights"  # the origin of the weights of a model that has none of its own
OWN = ("resnet20", "resnet32", "resnet44", "resnet56", *LENETS, "digits_cnn")
NAMES = (*FROM_LIBRARIES, *OWN)
DEVICE = re.compile(r"([a-z]+)(:\d+)?")
DEVICES = ("cpu", "cuda", "mps", "xpu", "hpu", "mtia", "maia", "xla", "vulkan", "meta", "privateuseone")


def refuse_unknown(name: str) -> None:
    """Raise TgrError for a model that is neither in NAMES nor has a prefix, as torchvision: and module: are."""
    prefix, colon, rest = name.partition(":")
    if name not in NAMES and not (prefix and colon and rest):
        raise TgrError(
            f'there is no model "{name}"; "tgr models" lists the names, and torchvision:NAME, timm:NAME, '
            f"hf-hub:REPO, onnx:FILE and module:function reach others.{did_you_mean(name, NAMES)}"
        )


def refuse_absent_module(name: str) -> None:
    """Raise TgrError for a user's `module:function` whose module (or the package that it is in) does not exist.

    Nothing is imported; whether the module has the function shows when it is.
    """
    if name in NAMES or name.startswith((TORCHVISION, TIMM, HUB, ONNX)):
        return
    package = name.partition(":")[0].partition(".")[0]
    if package in sys.modules or package in sys.builtin_module_names:
        return
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
    here = PathFinder.find_spec(package, [str(Path.cwd())])
    if here is None and not any(finder.find_spec(package, None) for finder in finders):
        raise not_importable(name, f"ModuleNotFoundError: No module named '{package}'")


def refuse_absent_file(name: str) -> None:
    """Raise TgrError for an `onnx:FILE` whose file, or one of the packages that read it, does not exist."""
    if not name.startswith(ONNX):
        return
    path = place(name.removeprefix(ONNX))
    if not path.is_file():
        raise TgrError(f"--model {name}: {path} does not exist or is no file; name an ONNX file")
    if missing := [package for package in ONNX_PACKAGES if find_spec(package) is None]:
        raise TgrError(f"--model {name} needs {', '.join(missing)}; run: pip install 'tgr[onnx]'")


def refuse_untrainable(name: str) -> None:
    """Raise TgrError for a network that cannot be trained: its normalisation is folded, its dropout left out."""
    if name.startswith(ONNX):
        raise TgrError(
            f"{name} is trained already, and tgr trains no network from an ONNX file; train the PyTorch model with "
            "--model module:function"
        )


def not_importable(name: str, why: str) -> TgrError:
    """Return the error for a user's `module:function` whose module cannot be imported."""
    module = name.partition(":")[0]
    return TgrError(
        f'--model {name}: "{module}" cannot be imported ({why}); it must be installed or lie in the current folder'
    )


def unusable_device(name: str) -> TgrError:
    """Return the error for a device that torch does not know, or that this machine lacks."""
    return TgrError(f'--device "{name}" cannot be used on this machine; use cpu, cuda, cuda:1 or mps')


def refuse_unknown_device(name: str) -> None:
    """Raise TgrError for a device of a kind that torch does not know."""
    found = DEVICE.fullmatch(name)
    if found is None or found[1] not in DEVICES:
        raise unusable_device(name)
