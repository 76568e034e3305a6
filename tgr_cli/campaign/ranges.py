"""The value ranges of a campaign's sites: from --ranges, the run's ranges, or a new profile; a tensor's from itself."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tgr_cli import defaults
from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import RANGES
from tgr_cli.campaign import profiling, runs
from tgr_cli.campaign.comparable import profiled_on
from tgr_cli.campaign.subject import Subject
from tgr_cli.defaults import PROFILED_IMAGES
from tgr_cli.errors import TgrError
from tgr_cli.faults.network import AnyNetwork

_spent: ContextVar[list[float] | None] = ContextVar("seconds of each profiling", default=None)


@contextmanager
def profiling_timed() -> Iterator[list[float]]:
    """Yield a list that gets the seconds of each profiling done meanwhile, which later processes need not repeat."""
    seconds: list[float] = []
    token = _spent.set(seconds)
    try:
        yield seconds
    finally:
        _spent.reset(token)


@dataclass(frozen=True)
class SiteRanges:
    """The smallest and the largest value of each site, the SHA-256 of their file by role, and the images profiled.

    The last two are empty for tensors, and everything is where a campaign needs no ranges.
    """

    low: Mapping[str, float] = field(default_factory=dict)
    high: Mapping[str, float] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    profiled_on: Mapping[str, Any] = field(default_factory=dict)

    @property
    def max_abs(self) -> dict[str, float]:
        """Return the largest absolute value of each site."""
        return {name: max(-low, self.high[name]) for name, low in self.low.items()}


def of_tensors(network: AnyNetwork, target: str) -> SiteRanges:
    """Return the ranges of the tensors of one kind; raises TgrError for one with values that are not finite."""
    low, high = {}, {}
    for site in network.sites_of(target):
        least, most = network.parameters[site.name].aminmax()
        low[site.name], high[site.name] = float(least), float(most)
        if not (math.isfinite(low[site.name]) and math.isfinite(high[site.name])):
            raise TgrError(
                f'the tensor "{site.name}" holds values that are not finite; check the weights, or use --limit none'
            )
    return SiteRanges(low, high)


def of_neurons(subject: Subject, network: AnyNetwork, *, path: Path | None, targets: str) -> SiteRanges:
    """Return the profiled ranges of the network's sites: of the artifact at `path`, or of the run, profiled if missing.

    Raises TgrError for ranges of another model or preprocessing, or ranges that lack one of the network's sites.
    """
    found = path or subject.file(subject.loaded.run.ranges)
    if path is None and not found.exists():
        began = time.perf_counter()
        _profile(subject, network, targets)
        if (spent := _spent.get()) is not None:
            spent.append(time.perf_counter() - began)
    artifact = store.read(found, RANGES)
    if artifact.provenance.model != subject.loaded.fingerprint:
        raise TgrError(
            f"{found} holds the ranges of another model (fingerprint {str(artifact.provenance.model)[:12]}, "
            f'this model has {subject.loaded.fingerprint[:12]}); run "tgr profile-ranges" for this one'
        )
    if differing := runs.otherwise_deployed(artifact, subject.facts):
        raise TgrError(
            f'{found} holds the ranges of {differing} here; run "tgr profile-ranges" with the same --format and '
            "--weight-format"
        )
    if differing := runs.otherwise_prepared(artifact, subject.facts):
        raise TgrError(
            f"{found} was profiled on images prepared with {differing} in this campaign; run "
            '"tgr profile-ranges" with the same preprocessing'
        )
    names = artifact.table["site"].to_pylist()
    low, high = (dict(zip(names, artifact.table[side].to_pylist(), strict=True)) for side in ("min", "max"))
    for site in network.sites:
        if site.name not in low:
            raise TgrError(
                f'{found} has no range for the site {site.name}; run "tgr profile-ranges" with the same --targets'
            )
    return SiteRanges(low, high, {"ranges": artifact.sha256}, profiled_on(artifact.provenance.extra))


def _profile(subject: Subject, network: AnyNetwork, targets: str) -> None:
    """Profile the network's sites, and those of the default targets, which the next campaign may strike.

    A model deployed with rounded outputs has other values with other targets, so only its own are profiled.
    """
    settings = subject.settings
    given = [name.strip() for name in targets.split(",")]
    more = [name for name in defaults.TARGETS.split(",") if name not in given]
    if more and subject.form is None:
        targets = ",".join([*given, *more])
        network = subject.network(targets)
    subject.reporter.note(
        f"no ranges of {subject.name} yet: profiling it on up to {PROFILED_IMAGES:,} images first, "
        'as "tgr profile-ranges" does; its --images takes more'
    )
    config = profiling.Config(
        data=settings.data,
        preprocessing=settings.preprocessing,
        source=settings.source,
        format=subject.format,
        weight_format=subject.weight_format,
        targets=targets,
        batch_size=settings.batch_size,
        workers=settings.workers,
        device=settings.device,
        workdir=settings.workdir,
    )
    images = profiling.split(settings.data, subject.reporter).sample(PROFILED_IMAGES)
    profiling.write(config, replace(subject, settings=config, images=images), network)
