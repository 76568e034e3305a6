"""From the user's choice of a model to the loaded model, ready for measurements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tgr_cli.artifacts.layout import RunFolder, Workspace
from tgr_cli.data import built_in
from tgr_cli.data.transforms import Preprocessing, PreprocessingOptions
from tgr_cli.errors import TgrError
from tgr_cli.guards import stored
from tgr_cli.guards.guard import Guard, protect
from tgr_cli.models import as_returned, weights, zoo
from tgr_cli.models.card import ModelCard, identity
from tgr_cli.models.checkpoint import CheckpointTensors
from tgr_cli.models.entry import IMAGENET_MEAN, IMAGENET_STD
from tgr_cli.models.fitting import TOP
from tgr_cli.models.from_state import is_text_guided, network
from tgr_cli.models.from_user import UserModel
from tgr_cli.models.names import unusable_device
from tgr_cli.models.source import ModelSource, own_folder, trained_run
from tgr_cli.models.trial import try_out
from tgr_cli.reporting import SILENT, Reporter


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode with gradients off, and its description.

    `fingerprint` is that of the weights and the protection, by which artifacts name the model. `facts` go into the
    metadata of artifacts: the key of the weights in their checkpoint, what the network does to its input, its guards.
    """

    model: nn.Module
    name: str
    head: str
    init: str | None
    num_classes: int
    preprocessing: Preprocessing
    fingerprint: str
    weights_fingerprint: str
    params: int
    origin: str
    run: RunFolder
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A network with its weights, not yet checked or moved to the device."""

    model: nn.Module
    preprocessing: Preprocessing
    origin: str
    run: RunFolder
    head: str = "baseline"
    init: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    protection: Sequence[Mapping[str, Any]] | None = None


def load(
    source: ModelSource,
    workspace: Workspace,
    classes: tuple[str, ...],
    *,
    preprocessing: PreprocessingOptions,
    device: str,
    reporter: Reporter = SILENT,
) -> LoadedModel:
    """Return the model of `source` on `device`: from a checkpoint, a library, or a training run.

    In this order: `--checkpoint`; `--weights` (a tag, DEFAULT, or none for random weights); the trained model in
    `workspace`; the library's DEFAULT weights. `classes` are the data set's class names. Raises TgrError where the
    model does not exist, its weights do not fit or are not finite, or its classes are not these.
    """
    where = usable_device(device)
    found = _find(source, workspace, classes, reporter)
    weights.check_finite(found.model, f"{source.model} ({found.origin})")
    entry = zoo.of(source)
    prepared = override(entry, found.preprocessing, preprocessing)
    if isinstance(entry, UserModel) and prepared == entry.preprocessing():
        reporter.note(
            f"the preprocessing of {source.model} is unknown: using {_in_words(prepared)}; set others with --resize, "
            "--crop, --mean and --std"
        )
    model = found.model.to(where).eval()
    for parameter in model.parameters():  # scripted modules have no requires_grad_ of their own
        parameter.requires_grad_(False)
    try_out(entry, model, prepared, len(classes), where)
    guards = stored.from_json(found.protection or ())
    if guards:
        example_1CHW = torch.zeros((1, *prepared.input_shape), device=where, dtype=weights.dtype(model))
        protect(model, guards, example_1CHW)
        reporter.note(f"{source.model} is protected: {'; '.join(guard.summary for guard in guards)}")
    of_weights = weights.fingerprint(model)
    fingerprint = identity(of_weights, found.protection)
    return LoadedModel(
        model=model,
        name=source.model,
        head=found.head,
        init=found.init,
        num_classes=len(classes),
        preprocessing=prepared,
        fingerprint=fingerprint,
        weights_fingerprint=of_weights,
        params=weights.parameters(model),
        origin=found.origin,
        run=own_folder(found.run, fingerprint, reporter),
        facts={**found.facts, **_input_facts(model), **_guarded(guards)},
    )


def _input_facts(model: nn.Module) -> dict[str, Any]:
    """Return whether `transform_input` is on, for the classes that have it (GoogLeNet, Inception)."""
    shifts = getattr(getattr(model, "backbone", model), "transform_input", None)
    return {"transform_input": shifts} if isinstance(shifts, bool) else {}


def _in_words(prepared: Preprocessing) -> str:
    """Return the sizes and the normalisation of a user's model that has no preprocessing of its own."""
    known = (prepared.mean, prepared.std) == (IMAGENET_MEAN, IMAGENET_STD)
    normalised = "ImageNet's mean and standard deviation" if known else "grey levels from 0 to 1"
    return f"resize {prepared.resize}, crop {prepared.crop} and {normalised}"


def _guarded(guards: Sequence[Guard]) -> dict[str, Any]:
    """Return what artifacts record of the protection."""
    return {"protection": [guard.summary for guard in guards]} if guards else {}


def override(entry: zoo.Architecture, prepared: Preprocessing, options: PreprocessingOptions) -> Preprocessing:
    """Return the preprocessing `prepared` of a model, overridden by the user's `options`.

    For a user's function, one value each in --mean and --std means one-channel images.
    """
    grey = options.mean is not None and options.std is not None and "," not in options.mean + options.std
    if grey and isinstance(entry, UserModel):
        prepared = replace(prepared, channels=1, mean=(0.0,), std=(1.0,))
    return options.override(prepared)


def usable_device(name: str) -> torch.device:
    """Return the torch device `name`; raises TgrError if torch does not know it or this machine lacks it."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise unusable_device(name) from error
    if device.type == "meta":
        raise TgrError('--device "meta" computes nothing; use cpu, cuda, cuda:1 or mps')
    return device


def _find(source: ModelSource, workspace: Workspace, classes: tuple[str, ...], reporter: Reporter) -> _Found:
    if source.given is not None:
        return _built(source, workspace, classes, reporter)
    if source.checkpoint is not None:
        return _from_checkpoint(source, source.checkpoint, workspace, classes, reporter)
    if source.weights == "none":
        return _built(source, workspace, classes, reporter)
    if source.weights is None:
        run = trained_run(source, workspace)
        if run is not None:
            return _from_run(source, run, classes)
        asked = [f"--head {source.head}"] * (source.head not in (None, "baseline"))
        asked += [f"--variant {source.variant}"] * (source.variant is not None)
        if asked:
            raise TgrError(
                f"{workspace.path} holds no trained {source.model} with {' '.join(asked)}; run "
                f'"tgr train --model {source.model} {" ".join(asked)}" first, or give --checkpoint FILE'
            )
        if isinstance(zoo.of(source), UserModel):
            return _built(source, workspace, classes, reporter)
    return _from_library(source, workspace, classes, reporter)


def _built(source: ModelSource, workspace: Workspace, classes: tuple[str, ...], reporter: Reporter) -> _Found:
    """Return the model without a checkpoint: random weights, or those that a user's function loads."""
    model, origin = as_returned.build(source, len(classes), reporter)
    return _Found(
        model=model,
        preprocessing=zoo.of(source).preprocessing(),
        origin=origin,
        run=workspace.run(source.model, "baseline", variant=source.variant),
    )


def _from_library(source: ModelSource, workspace: Workspace, classes: tuple[str, ...], reporter: Reporter) -> _Found:
    offered = zoo.entry(source.model).offer(source.weights or "DEFAULT")
    if offered.num_classes != len(classes):
        raise TgrError(
            f"the library's weights {offered.tag} of {source.model} have {offered.num_classes:,} classes, the data set "
            f'"{workspace.dataset}" has {len(classes):,}; run "tgr train" first, give --checkpoint FILE or '
            f"--weights none, or name a data set of theirs ({built_in.with_classes(offered.num_classes)})"
        )
    if source.weights is None:
        reporter.note(f"no trained {source.model} in {workspace.path}: taking the library's weights {offered.tag}")
    model, prepared = zoo.pretrained(source.model, offered.tag)
    return _Found(
        model=model,
        preprocessing=prepared,
        origin=f"the library's weights {offered.tag}",
        run=workspace.run(source.model, "baseline", variant=source.variant),
    )


def _from_checkpoint(
    source: ModelSource, path: Path, workspace: Workspace, classes: tuple[str, ...], reporter: Reporter
) -> _Found:
    checkpoint = CheckpointTensors.read(path)
    what = checkpoint.what
    guided = is_text_guided(checkpoint)
    if guided and source.head == "baseline":
        raise TgrError(f"{what} holds a text-guided classifier, where --head baseline asks for none; leave out --head")
    if not guided and source.head in ("cosine", "text"):
        raise TgrError(
            f"{what} holds a baseline (no head.weight and logit_scale), where --head {source.head} asks for a "
            "text-guided classifier; leave out --head"
        )
    restored = network(
        source.model, checkpoint, classes, workspace.dataset, key=source.checkpoint_key, reporter=reporter
    )
    model = restored.model
    head, init, seed = source.head or ("text" if guided else "baseline"), source.init, source.train_seed or 0
    variant = source.variant
    prepared = zoo.entry(source.model).as_published(path, model, reporter)
    card = _card_beside(path, model, reporter)
    protection = None
    if card is not None:
        _check_classes(what, card, classes)
        head, init, seed, prepared = card.head, card.init, card.seed, card.preprocessing
        variant, protection = source.variant or card.variant, card.protection
    return _Found(
        model=model,
        preprocessing=prepared,
        origin="a checkpoint",
        run=workspace.run(source.model, head, init, seed, variant),
        head=head,
        init=init,
        facts={} if restored.key == TOP else {"checkpoint_key": restored.key},
        protection=protection,
    )


def _card_beside(path: Path, model: nn.Module, reporter: Reporter) -> ModelCard | None:
    beside = RunFolder(path.parent).card
    if not beside.exists():
        return None
    card = ModelCard.read(beside)
    if card.fingerprint != weights.fingerprint(model):
        unprotected = ", with the guards that it names" if card.protection else ""
        reporter.note(f"{beside} describes other weights than {path.name}, and is left aside{unprotected}")
        return None
    taken = "classes, head and preprocessing" if card.protection is None else "classes, head, preprocessing and guards"
    reporter.note(f"{taken} of {path.name} are those of {beside}")
    return card


def _from_run(source: ModelSource, run: RunFolder, classes: tuple[str, ...]) -> _Found:
    card = ModelCard.read(run.card)
    _check_classes(f"the trained model {run.name}", card, classes)
    model = network(source.model, CheckpointTensors.read(run.weights), classes, run.path.parent.name).model
    weights.check_finite(model, str(run.weights))
    if weights.fingerprint(model) != card.fingerprint:
        raise TgrError(
            f"{run.weights} is not the model that {run.card} describes (their fingerprints differ); train again, or "
            "give the file as --checkpoint"
        )
    return _Found(
        model=model,
        preprocessing=card.preprocessing,
        origin="trained by tgr",
        run=run,
        head=card.head,
        init=card.init,
        protection=card.protection,
    )


def _check_classes(what: str, card: ModelCard, classes: tuple[str, ...]) -> None:
    if len(card.classes) != len(classes):
        raise TgrError(
            f"{what} has {len(card.classes):,} classes, the data set has {len(classes):,}; name the data set it was "
            f'trained for ({built_in.with_classes(len(card.classes))}), or train a model for this one with "tgr train"'
        )
    for index, (mine, theirs) in enumerate(zip(card.classes, classes, strict=True)):
        if mine != theirs:
            raise TgrError(
                f'{what} was trained with class {index} named "{mine}", the data set names it "{theirs}"; name the '
                "data set it was trained for, or its names with --class-names"
            )
