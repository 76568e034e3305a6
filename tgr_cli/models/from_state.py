"""From a checkpoint to its network, text-guided or not."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tgr_cli.data import built_in
from tgr_cli.errors import TgrError
from tgr_cli.models import choosing, published, weights, zoo
from tgr_cli.models.checkpoint import CheckpointTensors, NamedTensor
from tgr_cli.models.classifier import TextGuidedClassifier
from tgr_cli.models.fitting import TOP, Fit, ModelTensors, fits
from tgr_cli.reporting import SILENT, Reporter

SHOWN = 3  # names listed of what was left out
RENAMED = 8  # number of dicts in the file that are tried as state dicts with older names


@dataclass(frozen=True)
class Restored:
    """A network with the weights of a checkpoint, and their key in that checkpoint."""

    model: nn.Module
    key: str

    @property
    def guided(self) -> bool:
        """Return whether it is a text-guided classifier."""
        return isinstance(self.model, TextGuidedClassifier)


def network(
    name: str,
    checkpoint: CheckpointTensors,
    classes: tuple[str, ...],
    dataset: str,
    *,
    key: str | None = None,
    reporter: Reporter = SILENT,
) -> Restored:
    """Return the model `name` with the weights of a checkpoint; text-guided if the checkpoint is.

    `dataset` is the name of the data set in errors; `key` selects one of several sets of weights. Raises TgrError where
    the weights do not fit the model or have another number of classes.
    """
    matrix = _matrix(checkpoint)
    if matrix is None:
        model: nn.Module = zoo.build(name, len(classes))
    else:
        num_classes, dim = matrix.shape
        _check(checkpoint, num_classes, classes, dataset)
        model = TextGuidedClassifier(zoo.build(name, dim), num_classes, dim)
    own = _own(model)
    chosen = choosing.choose(checkpoint, fits(checkpoint, own), key, reporter)
    if not chosen.whole:
        _check(checkpoint, _outputs(own, chosen, len(classes)), classes, dataset, chosen.wrong)
    return _restored(model, own, checkpoint, chosen, reporter)


def restore(
    model: nn.Module, checkpoint: CheckpointTensors, *, key: str | None = None, reporter: Reporter = SILENT
) -> Restored:
    """Return `model` with the checkpoint's weights (a copy if old weights change its layers); raises as `network`."""
    own = _own(model)
    chosen = choosing.choose(checkpoint, fits(checkpoint, own), key, reporter)
    return _restored(model, own, checkpoint, chosen, reporter)


def is_text_guided(checkpoint: CheckpointTensors) -> bool:
    """Return whether a checkpoint holds a text-guided classifier."""
    return _matrix(checkpoint) is not None


def _matrix(checkpoint: CheckpointTensors) -> Tensor | None:
    """Return the class embeddings of a text-guided classifier under any prefix, None if the checkpoint has none."""
    by_parts = {entry.plain: entry.tensor for entry in checkpoint.entries}
    backbones = {parts[:at] for parts in by_parts for at, part in enumerate(parts) if part == "backbone"}
    for parts in by_parts:
        matrix = by_parts.get((*parts[:-1], "head", "weight"))
        if parts[-1] == "logit_scale" and matrix is not None and matrix.ndim == 2 and parts[:-1] in backbones:
            return matrix
    return None


def _own(model: nn.Module) -> ModelTensors:
    own = ModelTensors(model)
    if own.others:
        raise TgrError(
            f"the model keeps state that is no tensor ({own.others[0]}{_more(own.others)}; quantised layers do), which "
            "no checkpoint fills; let the model's function load its weights, and leave out --checkpoint"
        )
    return own


def _check(
    checkpoint: CheckpointTensors, num_classes: int, classes: tuple[str, ...], dataset: str, head: tuple[str, ...] = ()
) -> None:
    if num_classes != len(classes):
        where = f" (its {' and '.join(head[:SHOWN])})" if head else ""
        raise TgrError(
            f'{checkpoint.what} has {num_classes:,} classes{where}, the data set "{dataset}" has {len(classes):,}; '
            f"name the data set it was trained for ({built_in.with_classes(num_classes)}), or train a model for this "
            'one with "tgr train"'
        )


def _outputs(own: ModelTensors, chosen: Fit, expected: int) -> int:
    """Return the checkpoint's number of classes if it alone explains every difference in shape, else `expected`."""
    differing = [(own.tensors[name].shape, chosen.entries[name].tensor.shape) for name in chosen.wrong]
    found = {theirs[0] if theirs and (expected, *theirs[1:]) == tuple(mine) else None for mine, theirs in differing}
    number = next(iter(found), None)
    return number if number is not None and len(found) == 1 else expected


def _restored(
    model: nn.Module, own: ModelTensors, checkpoint: CheckpointTensors, chosen: Fit, reporter: Reporter
) -> Restored:
    if chosen.whole:
        _refuse_torn(checkpoint, own, chosen)
        weights.load(model, chosen.state)
        _tell(checkpoint, own, chosen, reporter)
        return Restored(model, chosen.key)
    by_holder: Counter[tuple[str, ...]] = Counter(entry.holder for entry in checkpoint.entries)
    for prefix in dict.fromkeys([chosen.prefix, *(holder for holder, _ in by_holder.most_common(RENAMED))]):
        older = _older(model, own, checkpoint, prefix)
        if older is not None:
            reporter.note(
                f"{checkpoint.what} has names or parts that the model has not ({_unlike(checkpoint, prefix, own)}): "
                "its library's own rules rename them or leave them out"
            )
            return older
    raise TgrError(_complaint(checkpoint, own, chosen))


def _refuse_torn(checkpoint: CheckpointTensors, own: ModelTensors, chosen: Fit) -> None:
    """Raise TgrError where the file has different values for the two names of a tied tensor: one would be lost."""
    for name, twins in own.tied.items():
        for twin in twins:
            both = [chosen.entries[of].tensor for of in (name, twin) if of in chosen.entries]
            if len(both) == 2 and not torch.equal(both[0], both[1]):
                raise TgrError(
                    f"{checkpoint.what} has different values for {name} and {twin}, which are one tensor in the model; "
                    "check --model"
                )


def _older(
    model: nn.Module, own: ModelTensors, checkpoint: CheckpointTensors, prefix: tuple[str, ...]
) -> Restored | None:
    """Return the network with a prefix's weights, renamed by its library's rules for old files, None if none fit."""
    state = {name: entry.tensor for name, entry in _below(checkpoint, prefix).items()}
    key = ".".join(prefix) or TOP
    today = published.renamed(model, state) if state else None
    if today is not None:
        entries = tuple(
            NamedTensor(tuple(name.split(".")), value, ()) for name, value in today.items() if isinstance(value, Tensor)
        )
        fit = fits(CheckpointTensors(checkpoint.path, entries), own)[0]
        if fit.whole and not fit.prefix:
            weights.load(model, fit.state)
            return Restored(model, key)
    fresh = published.converted(model, state, _versions(checkpoint, prefix)) if state else None
    return None if fresh is None else Restored(fresh, key)


def _below(checkpoint: CheckpointTensors, prefix: tuple[str, ...]) -> dict[str, NamedTensor]:
    """Return the checkpoint's tensors under a prefix, by the rest of their names."""
    at = len(prefix)
    return {".".join(entry.plain[at:]): entry for entry in checkpoint.entries if entry.plain[:at] == prefix}


def _unlike(checkpoint: CheckpointTensors, prefix: tuple[str, ...], own: ModelTensors) -> str:
    names = [name for name in _below(checkpoint, prefix) if name not in own.tensors]
    return f"{', '.join(names[:SHOWN])}{f' and {len(names) - SHOWN:,} more' if len(names) > SHOWN else ''}"


def _versions(checkpoint: CheckpointTensors, prefix: tuple[str, ...]) -> Mapping[str, Any] | None:
    """Return the version of each module under a prefix, by its name below it; None if the file stores no versions."""
    for at in range(len(prefix), -1, -1):
        if (kept := checkpoint.versions.get(prefix[:at])) is not None:
            inner = ".".join(prefix[at:])
            below = f"{inner}." if inner else ""
            return {
                name.removeprefix(inner).removeprefix("."): version
                for name, version in kept.items()
                if isinstance(name, str) and f"{name}.".startswith(below)
            }
    return None


def _complaint(checkpoint: CheckpointTensors, own: ModelTensors, nearest: Fit) -> str:
    """Return the message that says how the best-matching weights of the checkpoint differ from the model."""
    what = checkpoint.what if nearest.key == TOP else f'{checkpoint.what} (its "{nearest.key}")'
    complaints = []
    if nearest.missing:
        complaints.append(f"lacks {nearest.missing[0]}{_more(nearest.missing)}")
    if nearest.unexpected:
        complaints.append(f"has {nearest.unexpected[0]}{_more(nearest.unexpected)}, which the model has not")
    if nearest.wrong:
        name = nearest.wrong[0]
        theirs, mine = weights.describe(nearest.entries[name].tensor), weights.describe(own.tensors[name])
        complaints.append(f"has {name} as {theirs} where the model has {mine}{_more(nearest.wrong)}")
    found = (
        f"; of the model's {len(own.tensors):,} tensors it names {len(nearest.entries):,}" if nearest.missing else ""
    )
    if not nearest.entries:
        found += f" (the file's are as {', '.join(entry.name for entry in checkpoint.entries[:SHOWN])})"
    return f"{what} does not fit the model: it {'; it '.join(complaints)}{found}; check --model"


def _tell(checkpoint: CheckpointTensors, own: ModelTensors, chosen: Fit, reporter: Reporter) -> None:
    """Report which tensors were taken, renamed, converted or left out; silent if the file is a plain state dict."""
    taken = {id(entry) for entry in chosen.entries.values()}
    aside = [entry for entry in checkpoint.entries if id(entry) not in taken]
    wrapped = [e for name, e in chosen.entries.items() if e.name != name]
    kinds = sorted({(_kind(e.tensor), _kind(own.tensors[name])) for name, e in chosen.entries.items()})
    converted = [f"{theirs} to {mine}" for theirs, mine in kinds if theirs != mine]
    if not (aside or wrapped or converted):
        return
    parts = [f"{len(taken):,} tensors are the model's"]
    if wrapped:
        name = next(name for name, e in chosen.entries.items() if e.name != name)
        parts.append(f"named there as {chosen.entries[name].name} for {name}")
    if aside:
        first = ", ".join(entry.name for entry in aside[:SHOWN])
        parts.append(f"{len(aside):,} others are left aside ({first}{', …' if len(aside) > SHOWN else ''})")
    if converted:
        parts.append(f"converted from {' and '.join(converted)}")
    reporter.note(f"{checkpoint.what}: {', '.join(parts)}")


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _more(names: tuple[str, ...]) -> str:
    return f" (and {len(names) - 1:,} more)" if len(names) > 1 else ""
