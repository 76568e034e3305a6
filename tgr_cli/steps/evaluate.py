"""Evaluate a model without faults: the `golden` artifact and its figures."""

from dataclasses import dataclass
from pathlib import Path

from tgr_cli import defaults
from tgr_cli.artifacts import store
from tgr_cli.artifacts.provenance import normalised, sha256_names
from tgr_cli.artifacts.schemas import GOLDEN
from tgr_cli.campaign.deployed import open_subject
from tgr_cli.campaign.kept_golden import IMAGES
from tgr_cli.data.source import DataSource
from tgr_cli.data.transforms import PreprocessingOptions
from tgr_cli.faults.deploying import formats_of
from tgr_cli.models import golden
from tgr_cli.models.loading import LoadedModel
from tgr_cli.models.source import ModelSource
from tgr_cli.models.weights import number_format
from tgr_cli.reporting import SILENT, Reporter


@dataclass(frozen=True, kw_only=True)
class Config:
    """The model and the images. `images`: N at even steps through the evaluation split, None for all.

    With `format` or `weight_format` the model is deployed in these number formats; `targets` are the operations whose
    outputs are rounded.
    """

    data: DataSource
    preprocessing: PreprocessingOptions
    source: ModelSource
    images: int | None = None
    format: str | None = None
    weight_format: str | None = None
    targets: str = defaults.TARGETS
    batch_size: int = defaults.BATCH_SIZE
    workers: int = defaults.WORKERS
    device: str = defaults.DEVICE
    workdir: Path = defaults.WORKDIR
    out: Path | None = None

    def __post_init__(self) -> None:
        formats_of(self.format, self.weight_format)


@dataclass(frozen=True)
class Result:
    """The artifact's path, the model, the number formats of its values and weights, and its figures.

    `name` is that of the run, with the formats that the model is deployed in.
    """

    path: Path
    name: str
    loaded: LoadedModel
    format: str
    weight_format: str
    figures: golden.GoldenMetrics


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Classify the evaluation split, write the `golden` artifact and return its figures."""
    subject = open_subject(config, reporter)
    path = store.prepare(config.out or subject.file(subject.loaded.run.golden), GOLDEN.kind, config)
    if config.targets != defaults.TARGETS and config.format is None:
        reporter.note(f"--targets {config.targets} rounds no outputs: it says which ones --format rounds")
    seen = golden.Digest()
    result = subject.classify(seen)
    figures = golden.figures(result)
    provenance = store.provenance_for(
        GOLDEN,
        config=normalised(config),
        model=subject.loaded.fingerprint,
        classes=sha256_names(subject.images.classes),
        extra=subject.facts | {"top1": figures.top1, "top5": figures.top5, IMAGES: seen.text()},
    )
    store.write(path, GOLDEN, golden.rows(result, subject.images.ids), provenance)
    own = number_format(subject.loaded.model)
    formats = subject.format or own, subject.weight_format or subject.holds or own
    return Result(path, subject.name, subject.loaded, *formats, figures)
