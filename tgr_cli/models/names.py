"""Names of the zoo's models and their origins. Does not import torch, so a mistyped name is reported at once."""

from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.models.lenet_names import LENETS

TORCHVISION, TIMM, HUB = "torchvision:", "timm:", "hf-hub:"
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
OWN = ("resnet20", "resnet32", "resnet44", "resnet56", *LENETS, "digits_cnn")
NAMES = (*FROM_LIBRARIES, *OWN)


def refuse_unknown(name: str) -> None:
    """Raise TgrError for a model that is neither in NAMES nor has a prefix (torchvision:, timm:, hf-hub:, module:)."""
    prefix, colon, rest = name.partition(":")
    if name not in NAMES and not (prefix and colon and rest):
        raise TgrError(
            f'there is no model "{name}"; "tgr models" lists the names, and torchvision:NAME, timm:NAME, '
            f"hf-hub:REPO and module:function reach others.{did_you_mean(name, NAMES)}"
        )
