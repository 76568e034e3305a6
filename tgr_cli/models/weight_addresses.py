"""Where a library's published weights come from and where they are cached, without importing the library or torch.

The libraries' tables are Python code. They are parsed rather than imported: importing takes seconds, and missing
weights should be reported at once.
"""

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlparse

from tgr_cli.models.names import FROM_LIBRARIES, HUB, TIMM, TORCHVISION

HUB_ADDRESS = "https://huggingface.co"
IMAGENET_CLASSES = 1000  # number of classes of torchvision's pretrained classifiers


@dataclass(frozen=True, kw_only=True)
class Published:
    """Pretrained weights that a library publishes: tag, download address, and path in the local cache.

    `num_classes` is None where the library's table does not give it.
    """

    publisher: str
    tag: str
    address: str
    kept: Path
    num_classes: int | None = None

    @property
    def fetched(self) -> bool:
        """Return whether the weights are in the local cache."""
        return self.kept.exists()


def published(model: str, tag: str | None = None) -> Published | None:
    """Return the published weights of a model under `tag` (None or DEFAULT: the library's default), None if unknown.

    User-defined functions, unknown models and unknown tags give None.
    """
    name = FROM_LIBRARIES.get(model, model)
    wanted = None if tag in (None, "DEFAULT") else tag
    if name.startswith(TORCHVISION):
        return _torchvision(name.removeprefix(TORCHVISION), wanted)
    if name.startswith(TIMM):
        return _timm(name.removeprefix(TIMM), wanted)
    if name.startswith(HUB) and wanted is None:
        return _hub(name.removeprefix(HUB), "the Hugging Face hub", "DEFAULT")
    return None


def _torchvision(name: str, tag: str | None) -> Published | None:
    """Return the weights listed in `class <NAME>_Weights(WeightsEnum)`, found by the builder function's annotation."""
    tree = _module_with("torchvision", name)
    if tree is None:
        return None
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    named = {node.id for arg in function.args.kwonlyargs if arg.annotation for node in _names(arg.annotation)}
    table = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in named), None)
    if table is None:
        return None
    entries = {node.targets[0].id: node.value for node in table.body if _assigns_name(node)}  # type: ignore[attr-defined]
    default = entries.pop("DEFAULT", None)
    chosen = tag or (default.id if isinstance(default, ast.Name) else "")
    address = _keyword(entries.get(chosen), "url")
    if address is None:
        return None
    kept = torch_home() / "hub" / "checkpoints" / Path(urlparse(address).path).name
    return Published(publisher="torchvision", tag=chosen, address=address, kept=kept, num_classes=IMAGENET_CLASSES)


def _timm(name: str, tag: str | None) -> Published | None:
    """Return the weights listed in the literal keys of `generate_default_cfgs({"name.tag": …})`.

    The default is the key without a tag or the tag that ends in "*", else the first tag with weights.
    """
    architecture, _, own = name.partition(".")
    tree = _module_with("timm", architecture)
    if tree is None:
        return None
    offered: dict[str, str] = {}
    default = ""
    for key, entry in _configurations(tree):
        model, _, starred = key.partition(".")
        repository = _keyword(entry, "hf_hub_id")
        if model != architecture or repository is None:
            continue
        plain = starred.removesuffix("*")
        offered[plain] = f"{repository}{model}.{plain}" if repository.endswith("/") else repository
        default = plain if starred.endswith("*") else default or plain
    chosen = tag or own or default
    if chosen not in offered:
        return None
    return _hub(offered[chosen].rstrip("."), "timm", chosen or "DEFAULT")


def _hub(repository: str, library: str, tag: str) -> Published:
    kept = hub_cache() / f"models--{repository.replace('/', '--')}"
    return Published(publisher=library, tag=tag, address=f"{HUB_ADDRESS}/{repository}", kept=kept)


def torch_home() -> Path:
    """Return torch's cache folder, resolved as `torch.hub` does."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", str(Path(cache) / "torch"))).expanduser()


def hub_cache() -> Path:
    """Return the folder in which the Hugging Face hub client caches repositories."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("HF_HOME", str(Path(cache) / "huggingface"))
    return Path(os.environ.get("HF_HUB_CACHE", str(Path(home) / "hub"))).expanduser()


def _module_with(package: str, function: str) -> ast.Module | None:
    """Return the parsed module of `package.models` that defines `function`, None if no module does."""
    spec = find_spec(package)  # locates the package without importing it
    if spec is None or not spec.submodule_search_locations:
        return None
    for path in sorted((Path(spec.submodule_search_locations[0]) / "models").glob("*.py")):
        text = _text(path)
        if f"\ndef {function}(" in text:
            return _parsed(text)
    return None


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def _configurations(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "generate_default_cfgs":
            for table in node.args:
                yield from _entries(_assigned(tree, table.id) if isinstance(table, ast.Name) else table)


def _assigned(tree: ast.Module, name: str) -> ast.expr | None:
    """Return the value of the first assignment to `name` in a module, None if there is none."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id == name:
                return node.value
    return None


def _entries(table: ast.expr | None) -> Iterator[tuple[str, ast.expr]]:
    for key, value in zip(table.keys, table.values, strict=True) if isinstance(table, ast.Dict) else ():
        if isinstance(key, ast.Constant):
            yield str(key.value), value


def _names(annotation: ast.expr) -> Iterator[ast.Name]:
    return (node for node in ast.walk(annotation) if isinstance(node, ast.Name))


def _assigns_name(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)


def _keyword(call: ast.expr | None, name: str) -> str | None:
    """Return the value of a call's keyword argument if it is a string literal, else None."""
    for keyword in call.keywords if isinstance(call, ast.Call) else ():
        if keyword.arg == name and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str):
            return keyword.value.value
    return None
