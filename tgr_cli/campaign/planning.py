"""Obtains a campaign's plan: from its parts, from a stored plan, or by sampling."""

import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tgr_cli.artifacts import store
from tgr_cli.artifacts.facts import lasting
from tgr_cli.artifacts.parts import Parts
from tgr_cli.artifacts.provenance import library_versions, sha256_file
from tgr_cli.artifacts.schemas import INJECTIONS, PLAN
from tgr_cli.campaign import granularity, identity, running, stored_plan
from tgr_cli.campaign.config import PRECISIONS, Config
from tgr_cli.campaign.differences import differences
from tgr_cli.campaign.prepared import PreparedCampaign
from tgr_cli.campaign.stored_plan import Planned
from tgr_cli.errors import TgrError
from tgr_cli.faults.gradients import Gradients
from tgr_cli.faults.patterns.draw import with_footprints
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sampling import allocation, importance, scale_words, stratified, tensors, uniform
from tgr_cli.faults.scale_groups import ScaleGroups
from tgr_cli.faults.sites import Site


def planned(setup: PreparedCampaign, parts: Parts) -> Planned:
    """Return the campaign's plan, stored among `parts`; runs the pilot first if the plan needs one.

    Raises TgrError if `parts` belong to another campaign, or the plan given with `--plan` does not fit this one.
    """
    config, ours = setup.config, _identity(setup)
    about = parts.about() or {"campaign": ours, "plans": {}}
    begun = {"lasting": lasting(about["campaign"]), **about["campaign"]}
    if differing := differences(begun, ours):
        raise TgrError(
            f"{parts.folder} keeps a campaign that was begun with {differing} now; give the same settings to go on, "
            "or discard it with --restart"
        )
    if kept := _stored(setup, parts, about, "plan"):
        return kept
    if config.plan:
        given = stored_plan.read(config.plan, setup)
        with store.replacing(parts.folder / "plan.parquet") as temporary:
            shutil.copyfile(config.plan, temporary)
        return _sealed(parts, about, "plan", given)
    if setup.listed is not None:
        listed = _seen_by_engine(setup, setup.listed)
        setup.subject.reporter.note(f"the figures describe the faults that {config.faults} lists, not the model")
        return _write(setup, parts, about, "plan", listed)
    own = _seen(setup)
    groups = _scale_groups(setup, own)
    sites = scale_words.stand_ins(own, groups) if groups else own
    if config.needs_pilot:
        if config.part:
            setup.subject.reporter.note('every shard runs the whole pilot; with "--plan-only" first it is run once')
        first = _stored(setup, parts, about, "pilot")
        if first is None:
            drawn = _pilot(setup, sites)
            drawn = scale_words.anchored(drawn, own, groups) if groups else drawn
            drawn = with_footprints(drawn, setup.pattern, seed=allocation.pilot_seed(config.seed))
            first = _write(setup, parts, about, "pilot", drawn)
        found = running.run(setup, parts, first, first.units, stage="pilot")
        faults, pilot = _after(setup, sites, first.faults, found), first.faults.count
    else:
        faults, pilot = _draw(setup, sites, _counts(setup, sites), config.seed), 0
    faults = scale_words.anchored(faults, own, groups) if groups else faults
    faults = with_footprints(faults, setup.pattern, seed=config.seed)
    return _write(setup, parts, about, "plan", faults, pilot=pilot)


def _scale_groups(setup: PreparedCampaign, sites: Sequence[Site]) -> dict[str, ScaleGroups]:
    """Return the values of each site that share a scale; empty where scales are not struck."""
    corruption = setup.values.corruption
    if setup.config.strike != "scale":
        return {}
    assert corruption.form is not None
    return {site.name: setup.network.scale_groups(site, corruption.form) for site in sites}


def _pilot(setup: PreparedCampaign, sites: Sequence[Site]) -> Plan:
    config = setup.config
    counts_S, seed = np.full(len(sites), config.pilot), allocation.pilot_seed(config.seed)
    if config.sampling == "stratified":
        return stratified.pilot(
            sites,
            setup.labelled.eligible,
            counts_S,
            choices=setup.values.choices,
            seed=seed,
            images_per_fault=_images_per_fault(config),
        )
    return _draw(setup, sites, counts_S, seed)


def _after(setup: PreparedCampaign, sites: Sequence[Site], pilot: Plan, found: pa.Table) -> Plan:
    """Return the plan of the main stage, given the results of the pilot (SHARD rows)."""
    config, reporter, choices = setup.config, setup.subject.reporter, setup.values.choices
    x_F = found["dloss"].to_numpy()
    if config.limit == "none" or (config.precision and config.precision[0] == "sdc"):
        x_F = (found["outcome"].to_numpy() == "sdc").astype(float)
    shares_SB = stratified.neyman(pilot, x_F, bits=choices.count) if config.sampling == "stratified" else None
    counts_S = np.full(len(sites), config.injections)
    if config.precision:
        name, half_width = config.precision
        images = int(setup.labelled.eligible.sum())
        asked = allocation.for_target(
            pilot,
            x_F,
            images=images,
            half_width=half_width,
            relative=name == "dloss",
            largest=config.max_injections,
            confidence=config.confidence,
            same_images=config.sampling == "importance",
            shares_SB=shares_SB,
        )
        counts_S = asked.counts_S
        reporter.note(
            f"after a pilot of {config.pilot * len(sites):,} faults, {int(counts_S.sum()):,} are drawn, "
            f"{int(counts_S.min()):,} to {int(counts_S.max()):,} a site, for {PRECISIONS[name]} to about "
            f"± {asked.half_width:.3g}"
        )
        if not asked.reached:
            reporter.note(
                f"--target-ci {config.target_ci} is out of reach on {images:,} images with at most "
                f"{config.max_injections:,} faults a site: raise --images or --max-injections"
            )
    if shares_SB is not None:
        return stratified.draw(
            sites,
            setup.labelled.eligible,
            counts_S,
            shares_SB,
            choices=choices,
            seed=config.seed,
            images_per_fault=_images_per_fault(config),
        )
    return _draw(setup, sites, counts_S, config.seed)


def _identity(setup: PreparedCampaign) -> dict[str, Any]:
    """Return the identity that existing parts must match for the campaign to resume, with dotted names."""
    config = setup.config
    ours = identity.identity({"config": identity.drawn_with(config), **setup.facts})
    if config.plan:
        ours = {name: value for name, value in ours.items() if name not in identity.DRAWING}
        identity.refuse_other(config.plan, store.read(config.plan, PLAN).provenance, ours)  # also checks the ranges
        ours["plan"] = sha256_file(config.plan)
    how = {"shard": config.shard, "plan_only": config.plan_only, "version of injections": INJECTIONS.version}
    return {**ours, **identity.run_with(config), **how, **library_versions()}


def _stored(setup: PreparedCampaign, parts: Parts, about: dict[str, Any], name: str) -> Planned | None:
    path = parts.folder / f"{name}.parquet"
    if name not in about["plans"]:
        return None
    if not path.is_file() or sha256_file(path) != about["plans"][name]:
        raise TgrError(f"{path} is damaged, and the parts beside it rest on it; discard them with --restart")
    return stored_plan.read(path, setup)


def _write(
    setup: PreparedCampaign, parts: Parts, about: dict[str, Any], name: str, faults: Plan, pilot: int = 0
) -> Planned:
    return _sealed(parts, about, name, stored_plan.write(parts.folder / f"{name}.parquet", setup, faults, pilot=pilot))


def _sealed(parts: Parts, about: dict[str, Any], name: str, planned: Planned) -> Planned:
    about["plans"][name] = planned.sha256
    parts.describe(about)
    return planned


def _seen_by_engine(setup: PreparedCampaign, listed: Plan) -> Plan:
    unseen, engine = set(setup.engine.unseen()), setup.engine
    for number, place in zip(listed.number_F, listed.site_F, strict=True):
        if (site := listed.sites[place].name) in unseen:
            raise TgrError(
                f"fault {number} strikes {site}, which the engine {engine.name} does not support; "
                "leave it out or use --engine full"
            )
    return listed


def _seen(setup: PreparedCampaign) -> list[Site]:
    unseen, name = set(setup.engine.unseen()), setup.engine.name
    if unseen:
        setup.subject.reporter.note(
            f"the engine {name} does not support {len(unseen)} sites, which get no faults: {', '.join(sorted(unseen))}"
        )
    return [site for site in setup.sites if site.name not in unseen]


def _counts(setup: PreparedCampaign, sites: Sequence[Site]) -> np.ndarray:
    """Return the number of faults at each site: --injections, or as many in each of its feature maps."""
    maps = granularity.places(setup.config, setup.network, sites)
    if maps is None:
        return np.full(len(sites), setup.config.injections)
    counts_S = np.array([setup.config.injections * maps[site.name].count for site in sites])
    setup.subject.reporter.note(
        f"{sum(each.count for each in maps.values()):,} feature maps at {len(sites)} sites get "
        f"{setup.config.injections:,} faults each, {counts_S.sum():,} in all"
    )
    return counts_S


def _draw(setup: PreparedCampaign, sites: Sequence[Site], counts_S: np.ndarray, seed: int) -> Plan:
    config, subject = setup.config, setup.subject
    places = granularity.places(config, setup.network, sites)
    if config.sampling == "importance":
        knowing: dict[str, Any] = {
            "gradients": Gradients.capture(subject.loaded.model, setup.network, memory=setup.engine.memory),
            "corruption": setup.values.corruption,
            "load": subject.load,
            "labels_N": setup.labelled.labels,
            "choices": setup.values.choices,
            "seed": seed,
            "reporter": subject.reporter,
        }
        if config.target == "neuron":
            return importance.draw(
                sites, setup.labelled.eligible, counts_S, places=places, doubt_N=setup.labelled.doubt, **knowing
            )
        each = config.images_per_fault
        return tensors.draw(sites, setup.labelled.eligible, counts_S, images_per_fault=each, **knowing)
    return uniform.draw(
        sites,
        setup.labelled.eligible,
        counts_S,
        choices=setup.values.choices,
        seed=seed,
        images_per_fault=_images_per_fault(config),
        places=places,
    )


def _images_per_fault(config: Config) -> int | None:
    """Return the number of images that a lasting fault is tried on; None for faults in a single inference."""
    return config.images_per_fault if config.persists else None
