"""The range limit of a campaign: from --ranges, the run's ranges, or a new profile; a tensor's from its own values."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import RANGES
from tgr_cli.campaign import profiling, runs
from tgr_cli.campaign.comparable import profiled_on
from tgr_cli.campaign.subject import Subject
from tgr_cli.defaults import PROFILED_IMAGES
from tgr_cli.errors import TgrError
from tgr_cli.faults.choices import LimitMode
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.network import AnyNetwork


@dataclass(frozen=True)
class Limited:
    """A range limit, the SHA-256 of its ranges file by role, and a description of the images profiled.

    The last two are empty if the limit does not use profiled ranges.
    """

    limit: RangeLimit
    inputs: dict[str, str] = field(default_factory=dict)
    profiled_on: dict[str, Any] = field(default_factory=dict)


def range_limit(
    subject: Subject, network: AnyNetwork, *, mode: str, path: Path | None, target: str, targets: str
) -> Limited:
    """Return the range limit and its inputs, which are empty for `none`.

    If `target` is a kind of tensor, each tensor is bounded by its own values, and nothing is profiled. Raises TgrError
    for ranges of another model or preprocessing, or ranges that lack one of the network's sites.
    """
    if mode == "none":
        return Limited(RangeLimit("none", {}))
    if target != "neuron":
        tensors = {site.name: network.parameters[site.name] for site in network.sites_of(target)}
        return Limited(RangeLimit.of_tensors(cast(LimitMode, mode), tensors))
    found = path or subject.loaded.run.ranges
    if path is None and not found.exists():
        _profile(subject, network, targets)
    artifact = store.read(found, RANGES)
    if artifact.provenance.model != subject.loaded.fingerprint:
        raise TgrError(
            f"{found} holds the ranges of another model (fingerprint {str(artifact.provenance.model)[:12]}, "
            f'this model has {subject.loaded.fingerprint[:12]}); run "tgr profile-ranges" for this one'
        )
    if differing := runs.otherwise_prepared(artifact, subject.facts):
        raise TgrError(
            f"{found} was profiled on images prepared with {differing} in this campaign; run "
            '"tgr profile-ranges" with the same preprocessing'
        )
    table = artifact.table
    max_abs = dict(zip(table["site"].to_pylist(), table["max_abs"].to_pylist(), strict=True))
    for site in network.sites:
        if site.name not in max_abs:
            raise TgrError(
                f'{found} has no range for the site {site.name}; run "tgr profile-ranges" with the same --targets'
            )
    limit = RangeLimit(cast(LimitMode, mode), max_abs)
    return Limited(limit, {"ranges": artifact.sha256}, profiled_on(artifact.provenance.extra))


def _profile(subject: Subject, network: AnyNetwork, targets: str) -> None:
    settings = subject.settings
    subject.reporter.note(
        f"no ranges of {subject.loaded.run.name} yet: profiling it on up to {PROFILED_IMAGES:,} images first, "
        'as "tgr profile-ranges" does; its --images takes more'
    )
    config = profiling.Config(
        data=settings.data,
        preprocessing=settings.preprocessing,
        source=settings.source,
        targets=targets,
        batch_size=settings.batch_size,
        workers=settings.workers,
        device=settings.device,
        workdir=settings.workdir,
    )
    images = profiling.split(settings.data, subject.reporter).sample(PROFILED_IMAGES)
    profiling.write(config, replace(subject, settings=config, images=images), network)
