"""Configuration of a training."""

from dataclasses import dataclass
from pathlib import Path

from tgr_cli import defaults
from tgr_cli.artifacts.layout import RunFolder, Workspace, variant_name
from tgr_cli.data.preprocessing import PreprocessingOptions
from tgr_cli.data.source import DataSource
from tgr_cli.errors import TgrError
from tgr_cli.training import distributed, recipes
from tgr_cli.training.head_options import refuse_meaningless
from tgr_cli.training.recipe import Overrides
from tgr_cli.training.recipes import Resolved
from tgr_cli.training.stimulated import Disturbance

PREPARATION = ("resize", "crop", "interpolation")  # preprocessing fields that a recipe may set
# Fields that do not affect the trained model, or are recorded as part of the resolved recipe.
NO_PART_OF_THE_MODEL = {"resume", "checkpoint_every", "overrides", "preprocessing", "recipe"}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Configuration of a training. `init` and `embeddings` belong to the text head, `embedding_dim` to the cosine head.

    `variant` is a suffix of the run folder's name. `recipe` names a recipe, `overrides` replaces its values. `images`:
    size of a random subset of the training images, None for all. `checkpoint`: initial weights, None for random ones;
    `freeze_…`: parts that are not trained. `checkpoint_every`: steps between checkpoints within an epoch. `out`:
    another run folder. Raises TgrError for an invalid value.
    """

    data: DataSource
    preprocessing: PreprocessingOptions
    overrides: Overrides
    disturbance: Disturbance
    model: str
    recipe: str = defaults.RECIPE
    head: str = defaults.HEAD
    init: str | None = None
    variant: str | None = None
    embeddings: Path | None = None
    embedding_dim: int | None = None
    images: int | None = None
    seed: int = defaults.SEED
    workers: int = defaults.WORKERS
    device: str = defaults.DEVICE
    compile: bool = False
    checkpoint: Path | None = None
    checkpoint_key: str | None = None
    freeze_head: bool = False
    freeze_backbone: bool = False
    checkpoint_every: int | None = None
    resume: bool = False
    workdir: Path = defaults.WORKDIR
    out: Path | None = None

    def __post_init__(self) -> None:
        if self.variant is not None:
            variant_name(self.variant)
        refuse_meaningless(self.head, self.init, self.embeddings, self.embedding_dim)
        if self.checkpoint_key is not None and self.checkpoint is None:
            raise TgrError(f'--checkpoint-key "{self.checkpoint_key}" names no file; give --checkpoint FILE')
        if self.freeze_head and self.freeze_backbone:
            raise TgrError("--freeze-head and --freeze-backbone leave nothing to train; leave out one of them")
        for option, value in (
            ("--embedding-dim", self.embedding_dim),
            ("--images", self.images),
            ("--checkpoint-every", self.checkpoint_every),
        ):
            if value is not None and value < 1:
                raise TgrError(f"{option} is {value}; it must be 1 or more")
        self.resolved()

    def resolved(self) -> Resolved:
        """Return the recipe with the overrides applied, for the processes started by torchrun."""
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
        """Return the initialisation of the text head (default `descriptions`), None for other heads."""
        return (self.init or defaults.INIT) if self.head == "text" else None

    @property
    def run_folder(self) -> RunFolder:
        """Return the run folder."""
        if self.out is not None:
            return RunFolder(self.out)
        workspace = Workspace(self.workdir, self.data.folder)
        return workspace.run(self.model, self.head, self.effective_init, self.seed, self.variant)
