"""Saliency maps before and after random faults in the weights: the `saliency` artifact and a grid of maps.

As in Figure 2 of "Hardware resilience properties of text-guided image classifiers" (NeurIPS 2023).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tgr_cli import defaults
from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import Workspace, of_format
from tgr_cli.artifacts.provenance import normalised, sha256_names
from tgr_cli.artifacts.schemas import SALIENCY
from tgr_cli.campaign import profiling
from tgr_cli.campaign.config import LABELS
from tgr_cli.campaign.deployed import deployed
from tgr_cli.campaign.subject import Subject
from tgr_cli.data.datasets import DataSource, ImageSet, batches, open_split
from tgr_cli.data.transforms import PreprocessingOptions, evaluation
from tgr_cli.errors import TgrError, one_of
from tgr_cli.faults.deploying import formats_of
from tgr_cli.faults.graph import Network
from tgr_cli.faults.option_values import OF_TENSORS
from tgr_cli.models import weights, zoo
from tgr_cli.models.loading import LoadedModel
from tgr_cli.models.source import ModelSource
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.saliency import attention, weight_faults
from tgr_cli.saliency.attention import Summary as Summary  # re-exported for the command's output
from tgr_cli.saliency.models import Asked, Deploying, Explained, asked, choose, open_models
from tgr_cli.saliency.weight_faults import WeightFaults

MOST_IMAGES = 100


@dataclass(frozen=True, kw_only=True)
class Config:
    """The models, images and faults of a saliency comparison.

    The models are those of `runs` (one or two), or `source` and, optionally, `against`: a run, or another checkpoint of
    the same model. `images`: N at even steps through the evaluation split; `image_id` selects images by id instead.
    """

    data: DataSource
    preprocessing: PreprocessingOptions
    source: ModelSource | None = None
    runs: Sequence[str] = ()
    against: str | None = None
    images: int | None = None
    image_id: Sequence[str] = ()
    layer: str | None = None
    label: str = defaults.CAM_LABEL
    format: str | None = None
    weight_format: str | None = None
    faults: int = defaults.CAM_FAULTS
    limit: str = defaults.LIMIT
    seed: int = defaults.SEED
    batch_size: int = defaults.CAM_BATCH_SIZE
    device: str = defaults.DEVICE
    workdir: Path = defaults.WORKDIR
    out: Path | None = None

    def __post_init__(self) -> None:
        one_of("--limit", self.limit, OF_TENSORS)
        formats_of(self.format, self.weight_format)
        one_of("--label", self.label, LABELS)
        if self.faults < 1:
            raise TgrError(f"--faults is {self.faults}; use at least 1")
        if (self.source is None) == (not self.runs):
            found = "no model is" if self.source is None else "--model and run folders are both"
            raise TgrError(f"{found} named; name one run folder, or two, or a model with --model")
        if len(self.runs) > 2:
            raise TgrError(f"{len(self.runs)} runs are named; explain one, or two against each other")
        if self.against is not None and self.source is None:
            raise TgrError("--against sets a second model beside --model; name both run folders instead")
        if self.images is not None and self.image_id:
            raise TgrError("--images and --image-id both choose the images; leave one out")
        if self.count > MOST_IMAGES:
            raise TgrError(f"{self.count:,} images make a grid that cannot be read; use at most {MOST_IMAGES}")
        if self.out is not None and self.out.suffix.lower() == ".png":
            raise TgrError(f"--out {self.out} names the artifact, and the grid lies beside it; end it in .parquet")

    @property
    def count(self) -> int:
        """Return the number of images."""
        return len(self.image_id) or self.images or defaults.CAM_IMAGES


@dataclass(frozen=True)
class Result:
    """The artifact, the grid's path, the artifact's rows, the class names, and each model's summary."""

    path: Path
    grid: Path
    rows: list[dict[str, Any]]
    classes: tuple[str, ...]
    summaries: list[Summary]


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Compute saliency maps for each image and model before and after the faults; write the artifact and the grid.

    The model's tensors are not modified: faulty inferences use replacement tensors.
    """
    try:
        from tgr_cli.saliency import grid
        from tgr_cli.saliency.ablation import Explainer
    except ImportError as error:
        raise TgrError(f"tgr cam needs the grad-cam package ({error}); run: pip install 'tgr[cam]'") from error
    workspace = Workspace(config.workdir, config.data.folder)
    wanted = asked(workspace, config.runs, config.source, config.against)
    for each in wanted:
        zoo.of(each.source)  # refuse an unknown name before anything is searched
    images = choose(open_split(config.data, "eval", reporter), config.count, config.image_id, reporter)
    models = open_models(
        wanted,
        images.classes,
        preprocessing=config.preprocessing,
        layer=config.layer,
        batch_size=config.batch_size,
        device=config.device,
        reporter=reporter,
        deployed=_deploying(config, images, reporter),
    )
    if len({model.name for model in models}) < len(models):
        raise TgrError(f"both models are {models[0].name}, of the same weights; name one, or another beside it")
    own = (workspace if len(models) > 1 else models[0].folder).saliency
    names = [form.name if form else None for form in formats_of(config.format, config.weight_format)]
    path = store.prepare(config.out or of_format(own, *names), SALIENCY.kind, config)
    picture = store.prepare(path.with_suffix(".png"), "picture", config)
    networks = [model.network for model in models]
    sizes = weight_faults.common(networks)
    faults = weight_faults.draw(sizes, config.faults, width=weight_faults.form_of(networks[0]).width, seed=config.seed)
    _tell(models, sizes, faults, reporter)
    rows, pictures = [], []
    for number, model in enumerate(models):
        faulty, explainer = (
            weight_faults.struck(model.network, faults, config.limit),
            Explainer(model.network, model.layer),
        )
        transform = evaluation(model.loaded.preprocessing)
        pictures.append([transform.pixels(images.image(place), 0).numpy() for place in range(len(images))])
        for place, (x_1CHW, _) in enumerate(batches(images, transform, batch_size=1)):
            label = int(images.labels[place])
            facts = {"model": model.name, "layer": model.layer.name, "image_id": images.ids[place], "label": label}
            rows.append(facts | attention.row(explainer, x_1CHW[0], faulty, label if config.label == "true" else None))
            reporter.progress("explaining", number * len(images) + place + 1, len(models) * len(images))
        assert weights.fingerprint(model.loaded.model) == model.loaded.weights_fingerprint
    summaries = [attention.summary([row for row in rows if row["model"] == model.name]) for model in models]
    _tell_what_is_missing(summaries, config, reporter)
    caption = (
        f"Ablation-CAM of {'the class predicted without faults' if config.label == 'golden' else 'the true class'}, "
        f"before and after {len(faults):,} random single-bit faults in the weights, all at once "
        f"(range limit: {config.limit}, seed {config.seed}). Below a picture its class, below a map the prediction and "
        "its probability."
    )
    with store.replacing(picture) as temporary:
        grid.draw(temporary, rows, pictures, images.classes, caption)
        columns = {name: [row[name] for row in rows] for name in SALIENCY.arrow.names}
        store.write(path, SALIENCY, columns, _provenance(config, images, models, sizes, faults))
    return Result(path, picture, rows, images.classes, summaries)


def _deploying(config: Config, images: ImageSet, reporter: Reporter) -> Deploying | None:
    """Return the function that deploys a network in the formats of the settings; None without any."""
    form, weight_form = formats_of(config.format, config.weight_format)
    if form is None and weight_form is None:
        return None

    def deploying(model: Asked, loaded: LoadedModel, network: Network) -> Network:
        settings = profiling.Config(
            data=config.data,
            preprocessing=config.preprocessing,
            source=model.source,
            batch_size=config.batch_size,
            device=config.device,
            workdir=model.workspace.workdir,
        )
        folder = model.folder or loaded.run
        subject = Subject(settings, images, replace(loaded, run=folder), reporter)
        return deployed(subject, network, form, weight_form, defaults.TARGETS)

    return deploying


def _tell(models: Sequence[Explained], sizes: Mapping[str, int], faults: WeightFaults, reporter: Reporter) -> None:
    struck = f"{len(faults):,} faults in {len(sizes)} weight tensors of {sum(sizes.values()):,} elements"
    if len(models) == 1:
        reporter.note(f"{struck}, all present at once")
        return
    left = [
        f"{len(missing)} of {model.name} ({sum(site.neurons for site in missing):,} elements)"
        for model in models
        if (missing := [site for name, site in weight_faults.weights(model.network).items() if name not in sizes])
    ]
    reporter.note(f"{struck}, all present at once and the same in both models")
    if left:
        reporter.note(f"no fault is in tensors that only one model has, or has in another shape: {' and '.join(left)}")


def _tell_what_is_missing(summaries: Sequence[Summary], config: Config, reporter: Reporter) -> None:
    for summary in summaries:
        if summary.non_finite:
            hint = "; hold struck weights to their tensor's range with --limit clamp" * (config.limit == "none")
            reporter.note(
                f"{summary.model}: {summary.non_finite} of {summary.images} images have logits that are not finite "
                f"after the faults, and no map{hint}"
            )


def _provenance(
    config: Config, images: ImageSet, models: Sequence[Explained], sizes: Mapping[str, int], faults: WeightFaults
) -> store.Provenance:
    kept = {name: value for name, value in normalised(config).items() if name not in ("runs", "against")}
    return store.provenance_for(
        SALIENCY,
        config=kept,
        seed=config.seed,
        model=models[0].loaded.fingerprint,
        classes=sha256_names(images.classes),
        extra={
            "dataset": normalised(images.dataset),
            "used": images.used,
            "images": len(images),
            "formats": {
                model.name: model.network.facts.get("format", weights.number_format(model.loaded.model))
                for model in models
            },
            "models": [
                {
                    "run": model.name,
                    "fingerprint": model.loaded.fingerprint,
                    "origin": model.loaded.origin,
                    "layer": model.layer.name,
                    "preprocessing": model.loaded.preprocessing.to_json(),
                    **model.network.facts,
                }
                for model in models
            ],
            "struck": dict(zip(faults.names, np.bincount(faults.tensor_F, minlength=len(sizes)).tolist(), strict=True)),
        },
    )
