"""What a function is given, as the settings of the commands: a model and data in memory, or by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import torch
from torch import Tensor, nn

from tgr_cli import defaults
from tgr_cli.data.datasets import batches
from tgr_cli.data.given import split_of
from tgr_cli.data.images import ImageSet
from tgr_cli.data.inputs import AsGiven, InputSet
from tgr_cli.data.preprocessing import PreprocessingOptions
from tgr_cli.data.source import DataSource, GivenSplits
from tgr_cli.data.transforms import evaluation
from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.models.loading import override
from tgr_cli.models.source import ModelSource
from tgr_cli.models.zoo import GivenModule
from tgr_cli.paths import place

PARTS = {"source": ModelSource, "data": DataSource, "preprocessing": PreprocessingOptions}


@dataclass(frozen=True, kw_only=True)
class Given:
    """A model and data as a function takes them.

    `train` are images to profile on, `classes` the names of the classes. `name` is what to call a module, and `dataset`
    data in memory.
    """

    model: nn.Module | str
    data: Any
    train: Any = None
    classes: Sequence[str] | None = None
    name: str | None = None
    dataset: str = "data"


def settings(config: type[Any], given: Given, options: Mapping[str, Any], workdir: Path) -> Any:
    """Return the settings, of class `config`, of a measurement of what is given; raises TgrError as they do."""
    own = chosen(config, options, *PARTS.values())
    parts = {part: _of(kind, options) for part, kind in PARTS.items()}
    data, preprocessing = _data(given, parts, own.get("images"))
    return config(data=data, preprocessing=preprocessing, source=_model(given, parts["source"]), workdir=workdir, **own)


def chosen(config: type[Any], options: Mapping[str, Any], *others: type[Any]) -> dict[str, Any]:
    """Return those of the arguments that are fields of `config`; raises TgrError for one that is of none of these."""
    known = [field.name for kind in (config, *others) for field in fields(kind)]
    if wrong := [name for name in options if name not in known]:
        raise TgrError(f'there is no argument "{wrong[0]}".{did_you_mean(wrong[0], known)}')
    return _of(config, options)


def _of(kind: type[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that are fields of a class, as the command line would give them."""
    hints = get_type_hints(kind)
    found = {field.name: options[field.name] for field in fields(kind) if field.name in options}
    for name, value in found.items():
        if Path in (hints[name], *get_args(hints[name])) and isinstance(value, str):
            found[name] = place(value)
        elif name in ("mean", "std") and isinstance(value, tuple | list):
            found[name] = ",".join(map(str, value))
        elif str in get_args(hints[name]) and isinstance(value, Path):
            found[name] = str(value)
    return found


def _model(given: Given, named: Mapping[str, Any]) -> ModelSource:
    if isinstance(given.model, str):
        if given.name is not None:
            raise TgrError(f'the model is given by its name, "{given.model}"; leave out name')
        return ModelSource(model=given.model, **named)
    if not isinstance(given.model, nn.Module):
        raise TgrError(
            f"the model is a {type(given.model).__name__}, where an nn.Module or the name of one is expected"
        )
    if isinstance(given.model, torch.jit.ScriptModule):
        raise TgrError(
            "the model is a scripted or traced module, whose operations cannot be struck; give the Python module that "
            "it was made from"
        )
    if named:
        raise TgrError(f"{next(iter(named))} says where a named model comes from, and a module is given; leave it out")
    name = given.name or type(given.model).__name__
    return ModelSource(model=name, given=GivenModule(name, given.model))


def _data(
    given: Given, parts: Mapping[str, Mapping[str, Any]], images: int | None
) -> tuple[DataSource, PreprocessingOptions]:
    """Return the data, and how they are prepared: tensors not at all."""
    preprocessing = PreprocessingOptions(**parts["preprocessing"])
    if isinstance(given.data, str):
        if given.train is not None or given.classes is not None:
            raise TgrError(f'"{given.data}" brings its own training images and classes; leave out train and classes')
        return DataSource(dataset=given.data, **parts["data"]), preprocessing
    found = split_of(given.data, "eval", given.dataset, count=images, classes=given.classes)
    if isinstance(found, InputSet):
        if parts["preprocessing"]:
            option = next(iter(parts["preprocessing"]))
            raise TgrError(f"{option} says how to prepare pictures, and tensors are taken as they are; leave it out")
        preprocessing = AsGiven(shape=tuple(found.read(0).shape))
    if isinstance(given.model, nn.Module) and found.classes == _numbered(len(found.classes)):
        found = _as_many_classes(found, given.model, preprocessing)
    train = None
    if given.train is not None:
        what = f"{given.dataset}, train"
        train = split_of(given.train, "train", what, count=defaults.PROFILED_IMAGES, classes=found.classes)
    return DataSource(dataset=given.dataset, given=GivenSplits(found, train), **parts["data"]), preprocessing


def _as_many_classes(images: ImageSet, model: nn.Module, options: PreprocessingOptions) -> ImageSet:
    """Return images with a class for each logit of the model; labels without names may lack some of them."""
    try:
        entry = GivenModule(type(model).__name__, model)
        copy = entry.build(len(images.classes)).eval()
        own = next((tensor for tensor in copy.parameters() if tensor.is_floating_point()), torch.empty(0))
        ((x_1CHW, _),) = batches(
            images.take([0]), evaluation(override(entry, entry.preprocessing(), options)), batch_size=1
        )
        with torch.no_grad():
            logits = copy(x_1CHW.to(own.device, own.dtype))
    except Exception:  # what is wrong with the model or the image, loading and reading them tells in a sentence
        return images
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] < len(images.classes):
        return images
    return replace(images, classes=_numbered(logits.shape[1]))


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))
