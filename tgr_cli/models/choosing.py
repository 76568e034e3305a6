"""Choosing one set of weights from a checkpoint that holds several."""

import re
from collections import Counter
from collections.abc import Sequence

from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.models.checkpoint import WRAPPERS, CheckpointTensors
from tgr_cli.models.fitting import TOP, Fit
from tgr_cli.reporting import Reporter

# Words in the names of averaged weights (exponential moving average, stochastic weight averaging, Polyak).
AVERAGED = re.compile(r"(^|[_\W])(n_?averaged|ema|swa|avg|averaged?|polyak|shadow)($|[_\W\d])", re.IGNORECASE)
# Words that do not distinguish networks: "model" and "state_dict_ema" are weights of the same one.
OF_ANY = frozenset(
    ("model", "net", "network", "module", "state", "states", "dict", "weights", "params", "parameters", "online", "top")
)
# Optimizer state has the names and shapes of the weights. Match whole parts of the path: "momentum_encoder" and
# "optimal_weights" are networks.
OF_OPTIMIZERS = re.compile(
    r"(\w*_)?optim(izer|iser)?s?(_states?)?(_dict)?|exp_avg\w*|exp_inf|momentum_buffer|grads?|gradients?", re.IGNORECASE
)
TOO_FEW = 0.5  # share of a model's tensors from which a group of names looks like a set of weights


def choose(checkpoint: CheckpointTensors, found: Sequence[Fit], key: str | None, reporter: Reporter) -> Fit:
    """Return the weights under `key`, else the only ones that fit, else the averaged of two sets of the same network.

    Averaged weights are preferred because timm's and torchvision's training scripts publish these. If none fits, the
    nearest is returned. Raises TgrError where `key` is not found, where several sets fit and the choice is ambiguous,
    and where only optimizer state has the model's names.
    """
    if key is not None:
        return _named(checkpoint, found, _distinct([fit for fit in found if fit.whole]), key)
    sets = [fit for fit in found if not _of_optimizer(fit.key)]
    if not sets:
        raise TgrError(
            f'{checkpoint.what} has the model\'s names only under "{found[0].key}", which looks like the state of an '
            "optimizer; save the model's state_dict(), or name these as --checkpoint-key"
        )
    whole = _distinct([fit for fit in sets if fit.whole])
    if len(whole) < 2:
        chosen = whole[0] if whole else sets[0]
        if whole:
            _tell_of_averages(checkpoint, chosen, reporter)
        return chosen
    averaged = [fit for fit in whole if is_averaged(fit)]
    pair = len(whole) == 2 and len(averaged) == 1 and _network(whole[0].key) == _network(whole[1].key)
    keys = " and ".join(
        f'"{fit.key}"' + (" (averaged)" if fit in averaged else " (as trained)" if pair else "") for fit in whole
    )
    if not pair:
        raise TgrError(
            f"{checkpoint.what} holds {len(whole)} different sets of weights that fit the model: {keys}; choose one "
            "with --checkpoint-key"
        )
    reporter.note(
        f"{checkpoint.what} holds 2 different sets of weights: {keys}; the averaged ones are taken, choose with "
        "--checkpoint-key"
    )
    return averaged[0]


def is_averaged(fit: Fit) -> bool:
    """Return whether the key, or an averaging counter beside the weights, shows that the weights are averaged."""
    return bool(AVERAGED.search(fit.key)) or fit.averages


def _network(key: str) -> set[str]:
    """Return the words of a key that identify the network: {} for "model_ema", {"student"} for "ema.student"."""
    words = re.findall(r"[^\W_]+", AVERAGED.sub(" ", key.lower()))
    return set(words) - OF_ANY


def _of_optimizer(name: str) -> bool:
    return any(OF_OPTIMIZERS.fullmatch(part) for part in name.split("."))


def _named(checkpoint: CheckpointTensors, found: Sequence[Fit], whole: Sequence[Fit], key: str) -> Fit:
    """Return the fit with this key, or the only one below it."""
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
    """Return the fits without duplicates of equal values."""
    kept: list[Fit] = []
    for fit in whole:
        if not any(fit.equals(other) for other in kept):
            kept.append(fit)
    return kept


def _tell_of_averages(checkpoint: CheckpointTensors, chosen: Fit, reporter: Reporter) -> None:
    """Report other tensors in the file that look like averaged weights but do not fit the model."""
    taken = {id(entry) for entry in chosen.entries.values()}
    beside = Counter(
        ".".join(entry.parts[: at + 1])
        for entry in checkpoint.entries
        if id(entry) not in taken
        for at in range(len(entry.parts) - 1)
        if AVERAGED.search(entry.parts[at]) and not _of_optimizer(entry.name)
    )
    for name, count in beside.most_common(1):
        if count >= TOO_FEW * len(chosen.entries):
            reporter.note(
                f'{checkpoint.what} also holds {count:,} tensors under "{name}", which may be averaged weights; they '
                f'do not fit the model by name, those under "{chosen.key}" are taken'
            )
