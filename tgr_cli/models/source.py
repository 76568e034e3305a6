"""The user's choice of a model, and the run folder it refers to."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tgr_cli.artifacts.layout import INITS, RunFolder, Workspace, variant_name
from tgr_cli.artifacts.unrecorded import UNRECORDED
from tgr_cli.errors import TgrError, one_of
from tgr_cli.models.card import ModelCard
from tgr_cli.models.names import ONNX
from tgr_cli.reporting import Reporter

HEADS = ("baseline", "cosine", "text")


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """The user's choice of a model: its name, and the origin of its weights.

    `checkpoint_key` selects the weights in a checkpoint with several sets, such as "state_dict_ema". `variant` is the
    name given to the run by `tgr train --variant`; None for the run without one. `given` is the entry of a module in
    memory (`from_user.GivenModule`), which `model` is a name for; None where the name says which model it is.
    """

    model: str
    checkpoint: Path | None = None
    checkpoint_key: str | None = None
    weights: str | None = None
    head: str | None = None
    init: str | None = None
    train_seed: int | None = None
    variant: str | None = None
    given: object | None = field(default=None, repr=False, metadata=UNRECORDED)

    def __post_init__(self) -> None:
        if self.variant is not None:
            variant_name(self.variant)
        one_of("--head", self.head, HEADS)
        one_of("--init", self.init, INITS)
        if self.init is not None and (self.head == "baseline" or self.weights is not None):
            raise TgrError(f"--init {self.init} is given for a baseline, which has no class embeddings; leave it out")
        if self.model.startswith(ONNX):
            self._refuse_other_weights()
        if self.checkpoint is not None and self.weights is not None:
            raise TgrError("--checkpoint and --weights are both given, and only one can be loaded; leave one out")
        if self.checkpoint_key is not None and self.checkpoint is None:
            raise TgrError(f'--checkpoint-key "{self.checkpoint_key}" names no file; give --checkpoint FILE')
        if self.weights is not None and self.head not in (None, "baseline"):
            raise TgrError(
                f'--weights loads a baseline, which has no {self.head} head; train one with "tgr train --head '
                f'{self.head}" or give its --checkpoint'
            )

    def _refuse_other_weights(self) -> None:
        """Raise TgrError for options that choose the weights or the head of a network, which a file brings itself."""
        for option, value in (
            ("--checkpoint", self.checkpoint),
            ("--weights", self.weights),
            ("--head", None if self.head == "baseline" else self.head),
            ("--init", self.init),
        ):
            if value is not None:
                raise TgrError(f"{self.model} brings its own weights and last layer; leave out {option} {value}")


def trained_run(source: ModelSource, workspace: Workspace) -> RunFolder | None:
    """Return the run folder of the trained model that `source` refers to, None if the workspace has no run of it.

    Without --variant only the run without a variant matches, so a variant is never taken unasked. Raises TgrError if
    --head, --init, --train-seed and --variant match several runs, or none.
    """
    cards = {run: ModelCard.read(run.card) for run in workspace.runs(source.model)}
    cards = {run: card for run, card in cards.items() if card.model == source.model}
    wanted = {"head": source.head, "init": source.init, "seed": source.train_seed}
    left = [
        run
        for run, card in cards.items()
        if all(value is None or getattr(card, name) == value for name, value in wanted.items())
        and card.variant == source.variant
    ]
    if len(left) == 1 or not cards:
        return left[0] if left else None
    names = ", ".join(run.name for run in left or cards)
    if not left:
        raise TgrError(
            f"{workspace.path} holds {names}, and none has the --head, --init, --train-seed and --variant given (a run "
            "with a variant is taken only by its --variant); train it first or name one of these"
        )
    raise TgrError(f"{workspace.path} holds {names}; say which with --head, --init, --train-seed or --variant")


def own_folder(run: RunFolder, fingerprint: str, reporter: Reporter) -> RunFolder:
    """Return `run`, or a sibling folder if `run` belongs to other weights of the same network.

    A run folder belongs to the model trained in it, else to the first model measured in it. So measurements of
    --checkpoint and --weights never mix with those of another model. Raises TgrError if `run` is a protected model,
    which whoever names its variant expects to measure.
    """
    owner = _owner(run)
    if owner in (None, fingerprint):
        return run
    if run.card.exists() and ModelCard.read(run.card).protection:
        raise TgrError(
            f"{run.path} is a protected model, and --checkpoint or --weights gives other weights, without its guards; "
            "leave them out, or name another --variant"
        )
    apart = run.apart(fingerprint)
    reporter.note(f"{run.path} belongs to other weights of {run.name}: the results for these are kept in {apart.path}")
    return apart


def _owner(run: RunFolder) -> str | None:
    """Return the fingerprint of the model that owns the run folder, None if no readable file in it records one."""
    from tgr_cli.artifacts import store  # slow to import, and not needed to find what is missing

    if run.card.exists():
        return ModelCard.read(run.card).identity
    for path in run.measurements:
        with suppress(TgrError):  # a missing or damaged file claims nothing; it is overwritten
            return store.describe(path)[1].model
    return None
