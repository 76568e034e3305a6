"""Train a classifier: one trainer for every head, its weights, its card, and one `training` row an epoch."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tgr_cli import seeding
from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import RunFolder, Workspace, variant_name
from tgr_cli.artifacts.provenance import normalised, sha256_file, sha256_names
from tgr_cli.artifacts.schemas import TRAINING
from tgr_cli.data.datasets import DataSource, open_split
from tgr_cli.data.transforms import Preprocessing, PreprocessingOptions, training
from tgr_cli.errors import TgrError
from tgr_cli.models import checkpoint as checkpoints
from tgr_cli.models import weights, zoo
from tgr_cli.models.card import ModelCard
from tgr_cli.models.from_state import restore
from tgr_cli.models.loading import override, usable_device
from tgr_cli.models.source import HEADS
from tgr_cli.models.trial import try_out
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.steps import beginning, golden
from tgr_cli.training import distributed, recipes
from tgr_cli.training.checkpoint import Checkpoint, Cost, Epoch
from tgr_cli.training.distributed import Group
from tgr_cli.training.layers import freeze
from tgr_cli.training.loop import Loop, Validation
from tgr_cli.training.recipe import Overrides, one_of
from tgr_cli.training.recipes import Resolved
from tgr_cli.training.stimulated import Disturbance

INITS = ("template", "descriptions")
PREPARATION = ("resize", "crop", "interpolation")  # what a recipe may say of the preprocessing
# What equal trainings may differ in; the recipe's own values are recorded once, with the overrides in them.
NO_PART_OF_THE_MODEL = {"resume", "checkpoint_every", "overrides", "preprocessing", "recipe"}


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is trained on what. `init` and `embeddings` belong to the text head, `embedding_dim` to the cosine head.

    `variant` ends the name of the run's folder. `recipe` names a recipe, `overrides` replaces parts of it. `images`: as
    many training images drawn by the seed, all where None. `checkpoint`: weights to begin from instead of random ones;
    `freeze_…`: what stays as it begins. `checkpoint_every`: steps between checkpoints within an epoch. `out`: another
    folder for the run. Raises TgrError for a value without meaning.
    """

    data: DataSource
    preprocessing: PreprocessingOptions
    overrides: Overrides
    disturbance: Disturbance
    model: str
    recipe: str = recipes.NONE
    head: str = "baseline"
    init: str | None = None
    variant: str | None = None
    embeddings: Path | None = None
    embedding_dim: int | None = None
    images: int | None = None
    seed: int = 0
    workers: int = 0
    device: str = "cpu"
    compile: bool = False
    checkpoint: Path | None = None
    checkpoint_key: str | None = None
    freeze_head: bool = False
    freeze_backbone: bool = False
    checkpoint_every: int | None = None
    resume: bool = False
    workdir: Path = Path("runs")
    out: Path | None = None

    def __post_init__(self) -> None:
        if self.variant is not None:
            variant_name(self.variant)
        one_of("--head", self.head, HEADS)
        if self.init is not None:
            one_of("--init", self.init, INITS)
            if self.head != "text":
                raise TgrError(f'--init {self.init} has no meaning for --head {self.head}; use "--head text"')
        if self.checkpoint_key is not None and self.checkpoint is None:
            raise TgrError(f'--checkpoint-key "{self.checkpoint_key}" names no file; give --checkpoint FILE')
        if self.freeze_head and self.freeze_backbone:
            raise TgrError("--freeze-head and --freeze-backbone leave nothing to train; leave out one of them")
        if self.embeddings is not None and self.head != "text":
            raise TgrError(f'--embeddings has no meaning for --head {self.head}; use "--head text"')
        if self.embedding_dim is not None and self.head != "cosine":
            raise TgrError(
                f"--embedding-dim has no meaning for --head {self.head}; it sets the size of the random matrix of "
                '"--head cosine", a text head has that of its embeddings'
            )
        for option, value in (
            ("--embedding-dim", self.embedding_dim),
            ("--images", self.images),
            ("--checkpoint-every", self.checkpoint_every),
        ):
            if value is not None and value < 1:
                raise TgrError(f"{option} is {value}; it must be 1 or more")
        self.resolved()

    def resolved(self) -> Resolved:
        """Return the recipe with the overrides in it, for the processes that train together."""
        asked = {name: value for name in PREPARATION if (value := getattr(self.preprocessing, name)) is not None}
        return recipes.resolve(
            self.recipe,
            self.model,
            self.data.folder,
            self.overrides.given() | asked,
            processes=distributed.processes(),
            cuda=self.device.startswith("cuda"),
        )

    @property
    def effective_init(self) -> str | None:
        """Return where the head's matrix comes from: the text head's is `descriptions` unless --init says."""
        return (self.init or "descriptions") if self.head == "text" else None


@dataclass(frozen=True)
class Result:
    """The run's folder, the model's card, a row an epoch and what it cost; `first`: whether this process wrote them."""

    run: RunFolder
    card: ModelCard
    epochs: list[Epoch]
    costs: list[Cost]
    first: bool


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Train the model and write training, weights and card into its run folder.

    A model trained there before is replaced at the end. With `resume`, and where torchrun starts it again, an
    interrupted training goes on from its checkpoint, to the very weights it would have had.
    """
    with distributed.group(usable_device(config.device)) as group:
        return _run(config, group, reporter if group.first else SILENT)


def _run(config: Config, group: Group, reporter: Reporter) -> Result:
    train_set = open_split(config.data, "train", reporter)
    eval_set = open_split(config.data, "eval", reporter)
    classes = train_set.classes
    if eval_set.classes != classes:
        raise TgrError(
            f"the train split ({train_set.used}) has {len(classes)} classes, the evaluation split ({eval_set.used}) "
            f"{len(eval_set.classes)}, or others of the same number; both must have the same classes in the same order"
        )
    resolved = config.resolved()
    recipe = resolved.recipe
    for note in resolved.notes:
        reporter.note(note)
    workspace = Workspace(config.workdir, config.data.folder)
    named = workspace.run(config.model, config.head, config.effective_init, config.seed, config.variant)
    target = named if config.out is None else RunFolder(config.out)
    by_recipe = replace(config.preprocessing, **{name: getattr(recipe, name) for name in PREPARATION})
    pre = override(config.model, zoo.default_preprocessing(config.model), by_recipe)
    model, embedding_dim, inputs = beginning.build(config, workspace, classes)
    if weights.dtype(model) != torch.float32:
        raise TgrError(
            f"{config.model} computes in {weights.dtype(model)}, which is too coarse or too slow to train; "
            "build it in torch.float32"
        )
    if config.checkpoint is not None:
        stored = checkpoints.Checkpoint.read(config.checkpoint)
        model = restore(model, stored, key=config.checkpoint_key, reporter=reporter).model
        weights.check_finite(model, stored.what)
        inputs = inputs | {"checkpoint": sha256_file(config.checkpoint)}
    frozen = freeze(model, head=config.freeze_head, backbone=config.freeze_backbone)
    try_out(config.model, model.to(group.device).eval(), pre, len(classes), group.device)
    one_1CHW = torch.zeros(1, *pre.input_shape, device=group.device)
    for sentence in config.disturbance.out_of_reach(model, one_1CHW, frozen):
        reporter.note(sentence)
    if group.first:
        for path in (target.training, target.weights, target.card, target.best):
            store.prepare(path)
    resume = _resuming(config, target, group, reporter)

    described = {
        **{name: value for name, value in normalised(config).items() if name not in NO_PART_OF_THE_MODEL},
        "recipe": {"name": resolved.name, **asdict(recipe)},
        "preprocessing": pre.to_json(),
        "processes": group.world,
    }
    checkpoint = Checkpoint(
        target.checkpoint,
        identity={
            **described,
            "classes": sha256_names(classes),
            "training images": f"{len(train_set)} of {train_set.used}",
            "evaluation images": f"{len(eval_set)} of {eval_set.used}",
            "inputs": inputs,
        },
    )
    mine = eval_set if group.world == 1 else eval_set.take(range(group.rank, len(eval_set), group.world))
    state = Loop(
        images=train_set,
        rows=_rows(config, len(train_set)),
        transform=training(pre, recipe.augment, recipe.random_erasing),
        validate=lambda model: _validate(model, mine, pre, config, resolved, group, reporter),
        keep=lambda model: weights.save(model, target.best_so_far),
        recipe=recipe,
        seed=config.seed,
        workers=config.workers,
        group=group,
        checkpoint_every=config.checkpoint_every,
        compiled=config.compile,
        frozen=frozen,
        disturbance=config.disturbance,
    ).run(model, checkpoint, resume=resume, reporter=reporter)

    model.eval()
    card = ModelCard(
        model=config.model,
        head=config.head,
        init=config.effective_init,
        num_classes=len(classes),
        embedding_dim=embedding_dim,
        classes=classes,
        preprocessing=pre,
        seed=config.seed,
        fingerprint=weights.fingerprint(model),
        params=weights.parameters(model),
        variant=config.variant,
    )
    result = Result(target, card, state.epochs, state.costs, group.first)
    if not group.first:
        return result
    provenance = store.provenance_for(
        TRAINING,
        config=described,
        seed=config.seed,
        model=card.fingerprint,
        classes=sha256_names(classes),
        inputs=inputs,
        extra={
            "run": target.name,
            "dataset": normalised(train_set.dataset),
            "train": train_set.used,
            "eval": eval_set.used,
        },
    )
    target.best_so_far.replace(target.best)
    weights.save(model, target.weights)
    columns = {name: [asdict(epoch)[name] for epoch in state.epochs] for name in TRAINING.arrow.names}
    store.write(target.training, TRAINING, columns, provenance)
    # The card comes last: whoever finds it finds a whole run.
    card.write(target.card)
    target.checkpoint.unlink(missing_ok=True)
    return result


def _rows(config: Config, available: int) -> np.ndarray:
    if config.images is None or config.images >= available:
        return np.arange(available)
    return np.sort(seeding.generator(config.seed, "subset").permutation(available)[: config.images])


def _validate(
    model: nn.Module,
    images: golden.ImageSet,
    pre: Preprocessing,
    config: Config,
    resolved: Resolved,
    group: Group,
    reporter: Reporter,
) -> Validation:
    """Return how `model` does on all processes' shares of the evaluation images; `images` is this one's."""
    sums = torch.zeros(4, dtype=torch.float64)  # images, and what their loss, top-1 and top-5 come to
    if len(images):
        figures = golden.figures(
            golden.classify(
                model,
                images,
                pre,
                batch_size=resolved.recipe.batch_size,
                workers=config.workers,
                device=str(group.device),
                reporter=reporter,
                advice=f"lower --lr (now {resolved.recipe.lr:g}) or add --warmup-epochs",
            )
        )
        if group.world == 1:
            return Validation(loss=figures.loss, top1=figures.top1, top5=figures.top5)
        sums = figures.images * torch.tensor([1.0, figures.loss, figures.top1, figures.top5], dtype=torch.float64)
    count, loss, top1, top5 = group.total(sums.to(group.device)).tolist()
    return Validation(loss=loss / count, top1=top1 / count, top5=top5 / count)


def _resuming(config: Config, target: RunFolder, group: Group, reporter: Reporter) -> bool:
    """Return whether the training goes on from the checkpoint; note what is done with what the run folder holds.

    Raises TgrError where there is nothing to resume.
    """
    found = group.agree((target.checkpoint.exists(), target.card.exists()))
    unfinished, finished = found
    if distributed.restarts():
        # The processes' first start has removed the checkpoint of any training before this one.
        begun = "going on from its checkpoint" if unfinished else "beginning anew: there was no checkpoint yet"
        reporter.note(f"torchrun started the training again; {begun}")
        return unfinished
    if unfinished and not config.resume:
        reporter.note(f"{target.checkpoint} of an interrupted training is replaced; --resume would go on from it")
        if group.world > 1 and group.first:
            target.checkpoint.unlink()
    elif config.resume and not unfinished:
        if finished:
            raise TgrError(f"{target.path} is finished, nothing is left to resume; leave out --resume to train it anew")
        reporter.note(f"{target.path} has no checkpoint to resume; training from the start")
    if finished:
        reporter.note(f"the model in {target.path} is replaced when this training ends")
    return unfinished and config.resume
