"""Profiles the fault-free value ranges of a model's sites on images, and writes the `ranges` artifact."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tgr_cli import defaults
from tgr_cli.artifacts import store
from tgr_cli.artifacts.columns import Schema
from tgr_cli.artifacts.provenance import normalised, sha256_names
from tgr_cli.artifacts.schemas import ACTIVATION_RANGES, RANGES
from tgr_cli.campaign.subject import Subject
from tgr_cli.data.datasets import DataSource, ImageSet, open_split
from tgr_cli.data.missing import has_split
from tgr_cli.data.transforms import PreprocessingOptions
from tgr_cli.errors import TgrError
from tgr_cli.faults.deploying import formats_of
from tgr_cli.faults.network import AnyNetwork
from tgr_cli.faults.sites import Site
from tgr_cli.guards.operations import BOUNDED, Operation, observed
from tgr_cli.metrics.ranges import RangeProfile
from tgr_cli.models.loading import LoadedModel
from tgr_cli.models.source import ModelSource
from tgr_cli.models.weights import dtype
from tgr_cli.reporting import SILENT, Reporter


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings: model and images; `images` is the number of evenly spaced images of the train split.

    With `format` or `weight_format` the model is profiled as it is deployed in these number formats. With
    `after_activations`: what activation functions, pooling and concatenation give, not the sites.
    """

    data: DataSource
    preprocessing: PreprocessingOptions
    source: ModelSource
    images: int = defaults.PROFILED_IMAGES
    format: str | None = None
    weight_format: str | None = None
    after_activations: bool = False
    targets: str = defaults.TARGETS
    batch_size: int = defaults.BATCH_SIZE
    workers: int = defaults.WORKERS
    device: str = defaults.DEVICE
    workdir: Path = defaults.WORKDIR
    out: Path | None = None

    def __post_init__(self) -> None:
        formats_of(self.format, self.weight_format)
        if self.after_activations and (self.format or self.weight_format):
            raise TgrError(
                "--after-activations profiles the model as it is, whose activation functions no format rounds; leave "
                "out --format and --weight-format"
            )


@dataclass(frozen=True)
class Result:
    """The artifact's path, its model, the number of images profiled, and the artifact's columns."""

    path: Path
    loaded: LoadedModel
    images: int
    columns: dict[str, list[Any]]


def write(config: Config, subject: Subject, network: AnyNetwork) -> Result:
    """Profile the subject's sites on its pool of images, write the `ranges` artifact, and return it."""
    path = store.prepare(config.out or subject.file(subject.loaded.run.ranges), RANGES.kind, config)
    return _stored(path, RANGES, profile(subject, network), config, subject)


def write_after_activations(config: Config, subject: Subject) -> Result:
    """Profile what follows the subject's sites, write the `activation_ranges` artifact, and return it."""
    path = store.prepare(config.out or subject.loaded.run.activation_ranges, ACTIVATION_RANGES.kind, config)
    return _stored(path, ACTIVATION_RANGES, profile_after_activations(subject), config, subject)


def _stored(path: Path, schema: Schema, columns: dict[str, list[Any]], config: Config, subject: Subject) -> Result:
    described = normalised(config)
    if not config.after_activations:  # so that files of sites are those of versions that had no other
        del described["after_activations"]
    provenance = store.provenance_for(
        schema,
        config=described,
        model=subject.loaded.fingerprint,
        classes=sha256_names(subject.images.classes),
        extra={**subject.facts, "split": subject.images.split, "pool": subject.pool},
    )
    store.write(path, schema, columns, provenance)
    return Result(path, subject.loaded, len(subject.images), columns)


def split(data: DataSource, reporter: Reporter = SILENT) -> ImageSet:
    """Return the images to profile on: the train split or, if there is none, the evaluation images."""
    if has_split(data, "train") or not has_split(data, "eval"):
        return open_split(data, "train", reporter)
    name = data.dataset if data.path is None else data.path.name
    option = "--train" if data.given else "--train-data"
    reporter.note(f"{name} has no train split: profiling on its evaluation images; {option} names others")
    return open_split(data, "eval", reporter)


def profile(subject: Subject, network: AnyNetwork) -> dict[str, list[Any]]:
    """Return the columns of the `ranges` artifact, one row per site, from one pass over the subject's pool.

    Raises TgrError, naming the site, if its output is not finite.
    """
    size, done = network.batch_size, 0
    profiles = {site.name: RangeProfile() for site in network.sites}
    for x_BCHW in (part for batch in subject.batches() for part in batch.split(size)):
        real = len(x_BCHW)

        def observe(site: Site, values_BN: torch.Tensor, real: int = real) -> None:
            profiles[site.name].add(values_BN[:real])
            if not profiles[site.name].finite:
                raise TgrError(
                    f'the output of site "{site.name}" is not finite without any fault; '
                    "check the weights and the preprocessing"
                )

        # The network has a fixed batch size: pad the last batch with its last image, and do not count the padding.
        network.forward(torch.cat([x_BCHW, x_BCHW[-1:].expand(size - real, -1, -1, -1)]), observe=observe)
        done += real
        subject.reporter.progress("profiling", done, len(subject.images))
    if left_out := [name for name, profile in profiles.items() if profile.empty]:
        raise TgrError(
            f'none of {len(subject.images)} images runs the site "{left_out[0]}", so it has no range; '
            "use more --images, or --limit none"
        )
    results = {site.name: profiles[site.name].result() for site in network.sites}
    values = {name: [result[name] for result in results.values()] for name in RANGES.arrow.names if name != "site"}
    return {"site": list(results), **values}


def profile_after_activations(subject: Subject) -> dict[str, list[Any]]:
    """Return the columns of `activation_ranges`, one row per operation in order of first use, from one pass.

    Raises TgrError where the model has no such operation, or one of them gives values that are not finite.
    """
    profiles: dict[tuple[str, int], RangeProfile] = {}
    functions: dict[tuple[str, int], str] = {}

    def see(operation: Operation, value: Any) -> None:
        if operation.kind not in BOUNDED or not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return
        key = operation.path, operation.number
        functions[key] = operation.called
        profiles.setdefault(key, RangeProfile()).add(value)
        if not profiles[key].finite:
            raise TgrError(
                f'what "{operation.path}" gives is not finite without any fault; check the weights and the '
                "preprocessing"
            )

    done, model = 0, subject.loaded.model
    with torch.inference_mode(), observed(model, see):
        for x_BCHW in subject.batches():
            model(x_BCHW.to(subject.settings.device, dtype(model)))
            done += len(x_BCHW)
            subject.reporter.progress("profiling", done, len(subject.images))
    if not profiles:
        raise TgrError("the model runs no activation function, pooling or concatenation that can be profiled")
    several = Counter(path for path, _ in profiles)
    names = [f"{path}#{number}" if several[path] > 1 else path for path, number in profiles]
    results = [profile.result() for profile in profiles.values()]
    columns = {name: [result[name] for result in results] for name in results[0]}
    return {"operation": names, "function": [functions[key] for key in profiles], **columns}
