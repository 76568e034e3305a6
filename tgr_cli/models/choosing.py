"""Which weights of a checkpoint are taken, where it holds several sets of them that fit the model."""

import re
from collections import Counter
from collections.abc import Sequence

from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.models.checkpoint import WRAPPERS, Checkpoint
from tgr_cli.models.fitting import TOP, Fit
from tgr_cli.reporting import Reporter

# Words in the names of weights averaged over training steps (exponential, stochastic weight averaging, Polyak).
AVERAGED = re.compile(r"(^|[_\W])(n_?averaged|ema|swa|avg|averaged?|polyak|shadow)($|[_\W\d])", re.IGNORECASE)
# State of optimizers, whose moments have the names and shapes of the weights they are of.
OF_OPTIMIZERS = re.compile(r"optim|sched|scaler|exp_avg|exp_inf|momentum|grad|moment", re.IGNORECASE)
TOO_FEW = 0.5  # of a model's tensors, for names to look like a set of weights


def choose(checkpoint: Checkpoint, found: Sequence[Fit], key: str | None, reporter: Reporter) -> Fit:
    """Return the weights that `key` names, else the only ones that fit, else the averaged ones beside trained ones.

    Where none fits, the nearest is returned. Averaged weights are what timm and torchvision's own scripts publish.
    Raises TgrError where the key names none, or several fit and nothing tells which are meant.
    """
    found = [fit for fit in found if not OF_OPTIMIZERS.search(fit.key)] or list(found)
    whole = _distinct([fit for fit in found if fit.whole])
    if key is not None:
        return _named(checkpoint, found, whole, key)
    if len(whole) < 2:
        chosen = whole[0] if whole else found[0]
        if whole:
            _tell_of_averages(checkpoint, chosen, reporter)
        return chosen
    averaged = [fit for fit in whole if is_averaged(fit)]
    keys = " and ".join(
        f'"{fit.key}"' + (" (averaged)" if fit in averaged else " (as trained)" if len(averaged) == 1 else "")
        for fit in whole
    )
    if len(averaged) != 1:
        raise TgrError(
            f"{checkpoint.what} holds {len(whole)} different sets of weights that fit the model: {keys}; choose one "
            "with --checkpoint-key"
        )
    reporter.note(
        f"{checkpoint.what} holds {len(whole)} different sets of weights: {keys}; the averaged ones are taken, choose "
        "with --checkpoint-key"
    )
    return averaged[0]


def is_averaged(fit: Fit) -> bool:
    """Return whether the names before the weights, or a counter beside them, say that they are averaged."""
    return bool(AVERAGED.search(fit.key)) or fit.averages


def _named(checkpoint: Checkpoint, found: Sequence[Fit], whole: Sequence[Fit], key: str) -> Fit:
    """Return the fit of this key, or the only one below it."""
    wanted = ".".join(part for part in key.split(".") if part not in WRAPPERS) or TOP
    for among in (whole, found):
        for match in ([f for f in among if f.key == wanted], [f for f in among if f.key.startswith(f"{wanted}.")]):
            if len(match) == 1 or (match and among is found):
                return match[0]
    known = [fit.key for fit in whole] or [found[0].key]
    raise TgrError(
        f'{checkpoint.what} holds no weights under --checkpoint-key "{key}"; those that fit the model are under '
        f"{', '.join(known)}.{did_you_mean(wanted, known)}"
    )


def _distinct(whole: Sequence[Fit]) -> list[Fit]:
    """Return the fits with other values than those before them."""
    kept: list[Fit] = []
    for fit in whole:
        if not any(fit.equals(other) for other in kept):
            kept.append(fit)
    return kept


def _tell_of_averages(checkpoint: Checkpoint, chosen: Fit, reporter: Reporter) -> None:
    """Say where tensors beside the chosen ones look like averaged weights that do not fit the model."""
    taken = {id(entry) for entry in chosen.entries.values()}
    beside = Counter(
        ".".join(entry.parts[: at + 1])
        for entry in checkpoint.entries
        if id(entry) not in taken
        for at in range(len(entry.parts) - 1)
        if AVERAGED.search(entry.parts[at]) and not OF_OPTIMIZERS.search(".".join(entry.parts))
    )
    for name, count in beside.most_common(1):
        if count >= TOO_FEW * len(chosen.entries):
            reporter.note(
                f'{checkpoint.what} also holds {count:,} tensors under "{name}", which may be averaged weights; they '
                f'do not fit the model by name, those under "{chosen.key}" are taken'
            )
