"""Results of a training: last and best weights, one `training` row per epoch, and the model card."""

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
    """Facts known before a training starts, recorded with its result.

    `described`: the configuration; `inputs`: SHA-256 of the input files by role; `data`: the images used.
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
    """Replace all files of the run together; the training state is kept as `run.last`.

    If the process is killed, `finish` completes the replacement, or --resume writes the files again from the
    checkpoint.
    """
    provenance = store.provenance_for(
        TRAINING,
        config=facts.described,
        seed=card.seed,
        model=card.fingerprint,
        classes=sha256_names(facts.classes),
        inputs=facts.inputs,
        extra={"run": run.name, **facts.data, "legs": _legs(state), "format": weights.number_format(state.model)},
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
        reporter.note(f"the training is finished in {run.checkpoint}; --resume writes the remaining files")
        raise
    finish(run)


def _legs(state: State) -> list[dict[str, int]]:
    """Return the legs: the parts of the training with different planned numbers of epochs."""
    return [asdict(leg) for leg in state.legs]
