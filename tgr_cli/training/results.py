"""What a training leaves: its last and its best weights, a `training` row an epoch, and the model's card."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import RunFolder
from tgr_cli.artifacts.provenance import sha256_names
from tgr_cli.artifacts.schemas import TRAINING
from tgr_cli.artifacts.together import together
from tgr_cli.data.transforms import Preprocessing
from tgr_cli.models import weights
from tgr_cli.models.card import ModelCard
from tgr_cli.reporting import Reporter
from tgr_cli.training.config import Config
from tgr_cli.training.folder import finish
from tgr_cli.training.state import State


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a training before it begins, and recorded with its result.

    `described`: the configuration; `inputs`: the SHA-256 of input files by role; `data`: the images used.
    """

    described: Mapping[str, Any]
    inputs: Mapping[str, str]
    data: Mapping[str, Any]
    classes: tuple[str, ...]
    embedding_dim: int | None
    preprocessing: Preprocessing


def card_of(config: Config, facts: Facts, state: State) -> ModelCard:
    """Return the card of the trained model."""
    model = state.model.eval()
    return ModelCard(
        model=config.model,
        head=config.head,
        init=config.effective_init,
        num_classes=len(facts.classes),
        embedding_dim=facts.embedding_dim,
        classes=facts.classes,
        preprocessing=facts.preprocessing,
        seed=config.seed,
        fingerprint=weights.fingerprint(model),
        params=weights.parameters(model),
        variant=config.variant,
    )


def write(run: RunFolder, card: ModelCard, facts: Facts, state: State, reporter: Reporter) -> None:
    """Write the run in place of the one before, all of its files together; the training's state is kept as `run.last`.

    After a kill at any moment `finish` completes it, or the checkpoint does, from which all of it is written again.
    """
    provenance = store.provenance_for(
        TRAINING,
        config=facts.described,
        seed=card.seed,
        model=card.fingerprint,
        classes=sha256_names(facts.classes),
        inputs=facts.inputs,
        extra={"run": run.name, **facts.data, "legs": _legs(state)},
    )
    columns = {name: [asdict(epoch)[name] for epoch in state.epochs] for name in TRAINING.arrow.names}
    assert state.best is not None
    try:
        with together(run.path) as folder:
            weights.save(state.model, folder / run.weights.name)
            store.write(folder / run.training.name, TRAINING, columns, provenance)
            card.write(folder / run.card.name)
            weights.load(state.model, state.best)
            weights.save(state.model, folder / run.best.name)
    except BaseException:
        reporter.note(f"the training is whole in {run.checkpoint}; --resume writes what is left to write")
        raise
    finish(run)


def _legs(state: State) -> list[dict[str, int]]:
    """Return the parts of the training that were planned for different numbers of epochs."""
    return [asdict(leg) for leg in state.legs]
