"""Train a classifier: one trainer for all heads; writes weights, model card, and one `training` row per epoch."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tgr_cli import seeding
from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import RunFolder, Workspace
from tgr_cli.artifacts.provenance import normalised, sha256_names
from tgr_cli.artifacts.schemas import TRAINING
from tgr_cli.data.datasets import ImageSet, open_split
from tgr_cli.data.transforms import Preprocessing, training
from tgr_cli.errors import TgrError
from tgr_cli.models import zoo
from tgr_cli.models.card import ModelCard
from tgr_cli.models.loading import override, usable_device
from tgr_cli.models.trial import try_out
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.training import distributed, results, starting_model
from tgr_cli.training.checkpoint import ResumeFile
from tgr_cli.training.config import NO_PART_OF_THE_MODEL, PREPARATION, Config
from tgr_cli.training.distributed import Group
from tgr_cli.training.folder import held, resume_from
from tgr_cli.training.layers import freeze
from tgr_cli.training.loop import Loop
from tgr_cli.training.recipes import Resolved
from tgr_cli.training.starting_model import Begun
from tgr_cli.training.state import Cost, Epoch
from tgr_cli.training.validation import Validator

__all__ = ["Config", "Result", "held", "run"]


@dataclass(frozen=True)
class Result:
    """The run folder, the model card, the metrics and cost of each epoch.

    `first`: whether this process wrote the files; `trained`: whether anything remained to train or to write.
    """

    run: RunFolder
    card: ModelCard
    epochs: list[Epoch]
    costs: list[Cost]
    first: bool
    trained: bool

    @property
    def written(self) -> tuple[Path, ...]:
        """Return the artifacts that need a run record: written now, or by a process killed before its records."""
        artifacts = (self.run.training, self.run.weights)
        return tuple(path for path in artifacts if self.trained or not store.run_record(path).exists())


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Train the model and write training, weights and card into its run folder.

    A previously trained model there is replaced at the end. With `resume`, and on a restart by torchrun, an interrupted
    training continues from its checkpoint, to exactly the weights of an uninterrupted one; a finished one continues to
    more epochs. Raises TgrError where another process is training in that folder.
    """
    with held(config), distributed.group(usable_device(config.device)) as group:
        return _run(config, group, reporter if group.first else SILENT)


def _run(config: Config, group: Group, reporter: Reporter) -> Result:
    train_set, eval_set = _splits(config, reporter)
    resolved, target = config.resolved(), config.run_folder
    for note in resolved.notes:
        reporter.note(note)
    entry = zoo.entry(config.model)
    pre = override(
        entry,
        entry.preprocessing(),
        replace(config.preprocessing, **{name: getattr(resolved.recipe, name) for name in PREPARATION}),
    )
    begun, frozen = _starting(config, train_set.classes, pre, group, reporter)
    if group.first:
        _prepare_outputs(config, target)
    start = resume_from(config, group, reporter)
    facts = results.Facts(
        described=_described(config, resolved, group) | {"preprocessing": pre.to_json()},
        inputs=begun.inputs,
        data={"dataset": normalised(train_set.dataset), "train": train_set.used, "eval": eval_set.used},
        classes=train_set.classes,
        embedding_dim=begun.embedding_dim,
        preprocessing=pre,
    )
    mine = eval_set if group.world == 1 else eval_set.take(range(group.rank, len(eval_set), group.world))
    loop = Loop(
        images=train_set,
        rows=_rows(config, len(train_set)),
        transform=training(pre, resolved.recipe.augment, resolved.recipe.random_erasing),
        validate=Validator(mine, pre, config.workers, resolved.recipe, group, reporter),
        recipe=resolved.recipe,
        seed=config.seed,
        workers=config.workers,
        group=group,
        checkpoint_every=config.checkpoint_every,
        compiled=config.compile,
        frozen=frozen,
        disturbance=config.disturbance,
    )
    state = loop.run(begun.model, _checkpoint(config, facts, train_set, eval_set), start=start, reporter=reporter)
    card = results.card_of(config, facts, state)
    trained = start != target.last or len(state.epochs) > state.resumed
    if not trained:
        reporter.note(f"{target.path} is finished, there is nothing to resume; continue it with a larger --epochs")
    elif group.first:
        results.write(target, card, facts, state, reporter)
    return Result(target, card, state.epochs, state.costs, group.first, trained)


def _starting(
    config: Config, classes: tuple[str, ...], pre: Preprocessing, group: Group, reporter: Reporter
) -> tuple[Begun, tuple[str, ...]]:
    """Return the model before its first step, tried on one image, and the names of its frozen layers."""
    begun = starting_model.begin(config, Workspace(config.workdir, config.data.folder), classes, reporter)
    model = begun.model
    frozen = freeze(model, head=config.freeze_head, backbone=config.freeze_backbone)
    try_out(zoo.entry(config.model), model.to(group.device).eval(), pre, len(classes), group.device)
    one_1CHW = torch.zeros(1, *pre.input_shape, device=group.device)
    for sentence in config.disturbance.out_of_reach(model, one_1CHW, frozen):
        reporter.note(sentence)
    return begun, frozen


def _prepare_outputs(config: Config, target: RunFolder) -> None:
    """Check every output path before training starts."""
    store.prepare(target.training, TRAINING.kind, config)
    store.prepare(target.card, "card", config)
    for path in (target.weights, target.best):
        store.prepare(path, "weights", config)
    for path in (target.checkpoint, target.last):
        store.prepare(path, "", config)


def _splits(config: Config, reporter: Reporter) -> tuple[ImageSet, ImageSet]:
    train_set = open_split(config.data, "train", reporter)
    eval_set = open_split(config.data, "eval", reporter)
    if eval_set.classes != train_set.classes:
        raise TgrError(
            f"the train split ({train_set.used}) has {len(train_set.classes)} classes, the evaluation split "
            f"({eval_set.used}) {len(eval_set.classes)}, or others of the same number; both must have the same classes "
            "in the same order"
        )
    return train_set, eval_set


def _described(config: Config, resolved: Resolved, group: Group) -> dict[str, Any]:
    """Return the configuration in its recorded form."""
    kept = {name: value for name, value in normalised(config).items() if name not in NO_PART_OF_THE_MODEL}
    return kept | {"recipe": {"name": resolved.name, **asdict(resolved.recipe)}, "processes": group.world}


def _checkpoint(config: Config, facts: results.Facts, train_set: ImageSet, eval_set: ImageSet) -> ResumeFile:
    return ResumeFile(
        config.run_folder.checkpoint,
        identity={
            **facts.described,
            "classes": sha256_names(facts.classes),
            "training images": f"{len(train_set)} of {train_set.used}",
            "evaluation images": f"{len(eval_set)} of {eval_set.used}",
            "inputs": facts.inputs,
        },
        # a default number of epochs must not extend a finished training
        other_epochs=config.overrides.epochs is not None,
    )


def _rows(config: Config, available: int) -> np.ndarray:
    if config.images is None or config.images >= available:
        return np.arange(available)
    return np.sort(seeding.generator(config.seed, "subset").permutation(available)[: config.images])
