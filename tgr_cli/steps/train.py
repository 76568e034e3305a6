"""Train a classifier: one trainer for every head, its weights, its card, and one `training` row an epoch."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tgr_cli import seeding
from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import RunFolder, Workspace
from tgr_cli.artifacts.provenance import normalised, sha256_names
from tgr_cli.artifacts.schemas import EMBEDDINGS, TRAINING
from tgr_cli.data.datasets import DataSource, open_split
from tgr_cli.data.transforms import AUGMENTATIONS, Preprocessing, PreprocessingOptions, training
from tgr_cli.errors import TgrError
from tgr_cli.models import weights, zoo
from tgr_cli.models.card import ModelCard
from tgr_cli.models.classifier import text_guided
from tgr_cli.models.loading import override, try_out, usable_device
from tgr_cli.models.source import HEADS
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.steps import golden
from tgr_cli.text.initialise import RANDOM_DIM, random_embeddings
from tgr_cli.training.checkpoint import Checkpoint, Epoch
from tgr_cli.training.loop import Loop, Validation
from tgr_cli.training.optim import OptimOptions, one_of

INITS = ("template", "descriptions")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is trained on what. `init` and `embeddings` belong to the text head, `embedding_dim` to the cosine head.

    `images`: as many training images drawn by the seed, all where None. `out`: another folder for the run. Raises
    TgrError for a value without meaning.
    """

    data: DataSource
    preprocessing: PreprocessingOptions
    optim: OptimOptions
    model: str
    head: str = "baseline"
    init: str | None = None
    embeddings: Path | None = None
    embedding_dim: int | None = None
    epochs: int = 30
    batch_size: int = 128
    label_smoothing: float = 0.0
    augment: str = "none"
    images: int | None = None
    seed: int = 0
    workers: int = 0
    device: str = "cpu"
    resume: bool = False
    workdir: Path = Path("runs")
    out: Path | None = None

    def __post_init__(self) -> None:
        one_of("--head", self.head, HEADS)
        one_of("--augment", self.augment, AUGMENTATIONS)
        if self.init is not None:
            one_of("--init", self.init, INITS)
            if self.head != "text":
                raise TgrError(f'--init {self.init} has no meaning for --head {self.head}; use "--head text"')
        if self.embeddings is not None and self.head != "text":
            raise TgrError(f'--embeddings has no meaning for --head {self.head}; use "--head text"')
        if self.embedding_dim is not None and self.head != "cosine":
            raise TgrError(
                f"--embedding-dim has no meaning for --head {self.head}; it sets the size of the random matrix of "
                '"--head cosine", a text head has that of its embeddings'
            )
        for option, value in (
            ("--epochs", self.epochs),
            ("--batch-size", self.batch_size),
            ("--embedding-dim", self.embedding_dim),
            ("--images", self.images),
        ):
            if value is not None and value < 1:
                raise TgrError(f"{option} is {value}; it must be 1 or more")
        if not 0 <= self.label_smoothing < 1:
            raise TgrError(f"--label-smoothing is {self.label_smoothing:g}; it must be in [0, 1)")
        if self.optim.warmup_epochs >= self.epochs:
            raise TgrError(
                f"--warmup-epochs is {self.optim.warmup_epochs} of {self.epochs} epochs; it must be below --epochs"
            )

    @property
    def effective_init(self) -> str | None:
        """Return where the head's matrix comes from: the text head's is `descriptions` unless --init says."""
        return (self.init or "descriptions") if self.head == "text" else None


@dataclass(frozen=True)
class Result:
    """The run's folder, the model's card, and a row an epoch."""

    run: RunFolder
    card: ModelCard
    epochs: list[Epoch]


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Train the model and write training, weights and card into its run folder.

    A model trained there before is replaced at the end. With `resume` an interrupted training goes on from its last
    finished epoch, to the very weights it would have had.
    """
    device = usable_device(config.device)
    train_set, eval_set = open_split(config.data, "train"), open_split(config.data, "eval")
    classes = train_set.classes
    if eval_set.classes != classes:
        raise TgrError(
            f"the train split ({train_set.used}) has {len(classes)} classes, the evaluation split ({eval_set.used}) "
            f"{len(eval_set.classes)}, or others of the same number; both must have the same classes in the same order"
        )
    workspace = Workspace(config.workdir, config.data.folder)
    named = workspace.run(config.model, config.head, config.effective_init, config.seed)
    target = named if config.out is None else RunFolder(config.out)
    pre = override(config.model, zoo.default_preprocessing(config.model), config.preprocessing)
    model, embedding_dim, inputs = _build(config, workspace, classes)
    if weights.dtype(model) != torch.float32:
        raise TgrError(
            f"{config.model} computes in {weights.dtype(model)}, which is too coarse or too slow to train; "
            "build it in torch.float32"
        )
    try_out(config.model, model.to(device).eval(), pre, len(classes), device)
    for path in (target.training, target.weights, target.card):
        store.prepare(path)
    _tell(config, target, reporter)

    checkpoint = Checkpoint(
        target.checkpoint,
        identity={
            **{name: value for name, value in normalised(config).items() if name not in ("resume", "workers")},
            "classes": sha256_names(classes),
            "training images": f"{len(train_set)} of {train_set.used}",
            "evaluation images": f"{len(eval_set)} of {eval_set.used}",
            "inputs": inputs,
        },
    )
    epochs = Loop(
        images=train_set,
        rows=_rows(config, len(train_set)),
        augment=training(pre, config.augment),
        validate=lambda model: _validate(model, eval_set, pre, config, reporter),
        optim=config.optim,
        epochs=config.epochs,
        batch_size=config.batch_size,
        label_smoothing=config.label_smoothing,
        seed=config.seed,
        workers=config.workers,
        device=config.device,
    ).run(model, checkpoint, resume=config.resume and target.checkpoint.exists(), reporter=reporter)

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
    )
    provenance = store.provenance_for(
        TRAINING,
        config={name: value for name, value in normalised(config).items() if name not in ("resume", "workers")},
        seed=config.seed,
        model=card.fingerprint,
        classes=sha256_names(classes),
        inputs=inputs,
        extra={"run": target.name, "dataset": train_set.dataset, "train": train_set.used, "eval": eval_set.used},
    )
    weights.save(model, target.weights)
    columns = {name: [asdict(epoch)[name] for epoch in epochs] for name in TRAINING.arrow.names}
    store.write(target.training, TRAINING, columns, provenance)
    # The card comes last: whoever finds it finds a whole run.
    card.write(target.card)
    target.checkpoint.unlink(missing_ok=True)
    return Result(target, card, epochs)


def _build(config: Config, workspace: Workspace, classes: tuple[str, ...]) -> tuple[nn.Module, int | None, dict]:
    """Return the untrained model, its E, and the SHA-256 of each artifact that went into it."""
    if config.head == "baseline":
        return zoo.build(config.model, len(classes), seed=config.seed), None, {}
    if config.head == "cosine":
        embeddings_CE = torch.from_numpy(
            random_embeddings(len(classes), config.embedding_dim or RANDOM_DIM, config.seed)
        )
        inputs: dict[str, str] = {}
    else:
        embeddings_CE, inputs = _read_embeddings(config, workspace, classes)
    model = text_guided(config.model, embeddings_CE, seed=config.seed)
    return model, embeddings_CE.shape[1], inputs


def _read_embeddings(
    config: Config, workspace: Workspace, classes: tuple[str, ...]
) -> tuple[torch.Tensor, dict[str, str]]:
    init = config.effective_init
    assert init is not None
    command = f"tgr embed --dataset {config.data.dataset} --init {init}"
    artifact = store.read(config.embeddings or workspace.embeddings(init), EMBEDDINGS, made_by=command)
    found = artifact.provenance.extra.get("init")
    if found != init:
        raise TgrError(
            f"{artifact.path} holds embeddings of --init {found}, where --init {init} is asked for; name the "
            f'initialisation they are, or run "{command}"'
        )
    if artifact.provenance.classes != sha256_names(classes):
        theirs = artifact.table["class_name"].to_pylist()
        raise TgrError(
            f"{artifact.path} embeds {_list(theirs)}, the data set has {_list(classes)}; "
            f'run "{command}" again for these classes'
        )
    return torch.from_numpy(np.stack(artifact.column("embedding"))), {"embeddings": artifact.sha256}


def _list(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f"{len(names)} classes ({shown})"


def _rows(config: Config, available: int) -> np.ndarray:
    if config.images is None or config.images >= available:
        return np.arange(available)
    return np.sort(seeding.generator(config.seed, "subset").permutation(available)[: config.images])


def _validate(
    model: nn.Module, images: golden.ImageSet, pre: Preprocessing, config: Config, reporter: Reporter
) -> Validation:
    figures = golden.figures(
        golden.classify(
            model,
            images,
            pre,
            batch_size=config.batch_size,
            workers=config.workers,
            device=config.device,
            reporter=reporter,
            advice=f"lower --lr (now {config.optim.lr:g}) or add --warmup-epochs",
        )
    )
    return Validation(loss=figures.loss, top1=figures.top1, top5=figures.top5)


def _tell(config: Config, target: RunFolder, reporter: Reporter) -> None:
    """Note what is done with what the run folder holds; raises TgrError where there is nothing to resume."""
    if target.checkpoint.exists():
        if not config.resume:
            reporter.note(f"{target.checkpoint} of an interrupted training is replaced; --resume would go on from it")
    elif config.resume:
        if target.card.exists():
            raise TgrError(f"{target.path} is finished, nothing is left to resume; leave out --resume to train it anew")
        reporter.note(f"{target.path} has no checkpoint to resume; training from the start")
    if target.card.exists():
        reporter.note(f"the model in {target.path} is replaced when this training ends")
