"""One campaign for many number formats and fault models: `tgr inject --surface`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from tgr_cli.artifacts import store
from tgr_cli.artifacts.parts import Parts
from tgr_cli.artifacts.provenance import sha256_names
from tgr_cli.artifacts.schemas import SURFACE
from tgr_cli.campaign import identity, ranges, struck_values, surface_units
from tgr_cli.campaign.config import Config
from tgr_cli.campaign.identity import DRAWING, RUNNING, drawn_with
from tgr_cli.campaign.labelled import LabelledPool
from tgr_cli.campaign.prepared import site_facts, tell_unseen_work, with_batch_size
from tgr_cli.campaign.ranges import SiteRanges
from tgr_cli.campaign.replacing import refuse, refuse_other_faults
from tgr_cli.campaign.subject import Subject
from tgr_cli.errors import TgrError
from tgr_cli.faults import deploying
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import ENGINES, memory
from tgr_cli.faults.fault_models import Choices, fault_model_named
from tgr_cli.faults.formats import format_of
from tgr_cli.faults.gradients import Gradients
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.network import AnyNetwork
from tgr_cli.faults.option_values import LimitMode
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sampling import anchors
from tgr_cli.faults.sampling.anchors import FaultKind
from tgr_cli.faults.surface import Surface, corruption
from tgr_cli.metrics.estimates import Draws
from tgr_cli.metrics.surface import SurfaceEstimates
from tgr_cli.models.trial import refuse_scripted
from tgr_cli.reporting import SILENT, Reporter

FAULTS_AN_ANCHOR = 2  # --injections N strikes N / 2 neurons a site (benchmarks/2026-11-29-surface-time.md)


@dataclass(frozen=True, kw_only=True)
class Result:
    """The artifact's path and rows: those of the network (site "") first, then those of each site."""

    run: str
    path: Path
    anchors: int
    rows: list[dict[str, Any]]


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Estimate SDC rate and mean dLoss under every kind of fault, write the `surface` artifact and return its rows."""
    subject = Subject.open(config, reporter)
    refuse_scripted(subject.loaded.model, subject.loaded.name)
    config, subject = with_batch_size(config, subject)
    output = store.prepare(config.out or subject.loaded.run.surface, SURFACE.kind, config)
    refuse_other_faults(output, SURFACE.kind, config)
    with Parts.beside(output, restart=config.restart) as parts:
        result = _run(config, subject, output, parts, reporter)
        parts.done()
    return result


def _run(config: Config, subject: Subject, output: Path, parts: Parts, reporter: Reporter) -> Result:
    network = subject.network(config.targets)
    engine_class = ENGINES[config.engine]
    engine_class.check(network)
    found = ranges.of_neurons(subject, network, path=config.ranges, targets=config.targets)
    kinds = _kinds(config, subject, network, found)
    _refuse_fewer_kinds(output, config, kinds)
    tell_unseen_work(subject, network, config.targets)
    engine = engine_class(subject.loaded.model, network, corruption(), memory=memory.parsed(config.memory))
    pool = LabelledPool(subject, config.label, everything=config.all_images)
    plan = anchors.draw(
        network.sites,
        pool.eligible,
        max(2, config.injections // FAULTS_AN_ANCHOR),
        kinds=kinds,
        gradients=Gradients.capture(subject.loaded.model, network, memory=engine.memory),
        load=subject.load,
        labels_N=pool.labels,
        seed=config.seed,
        reporter=reporter,
    )
    facts = _facts(config, subject, network, found, kinds)
    ours = identity.identity(facts) | {"surface": ", ".join(kind.name for kind in kinds)}
    surface = Surface(engine, kinds, seed=config.seed)
    effects_K2N = surface_units.effects(plan, surface, subject, pool.labels, parts, ours)
    rows = _rows(config, plan, kinds, effects_K2N)
    provenance = store.provenance_for(SURFACE, **facts)
    store.write(output, SURFACE, {name: [row[name] for row in rows] for name in SURFACE.arrow.names}, provenance)
    return Result(run=subject.name, path=output, anchors=len(plan), rows=rows)


def _facts(
    config: Config, subject: Subject, network: AnyNetwork, found: SiteRanges, kinds: list[FaultKind]
) -> dict[str, Any]:
    """Return the metadata of the artifact, as fields of a provenance."""
    return {
        "config": _settings(config),
        "seed": config.seed,
        "model": subject.loaded.fingerprint,
        "classes": sha256_names(subject.images.classes),
        "inputs": dict(found.inputs),
        "extra": subject.facts
        | dict(network.facts)
        | {
            "pool": subject.pool,
            "ranges": dict(found.profiled_on),
            "macs": sum(site.macs for site in network.sites),
            "sites": [site_facts(site) for site in network.sites],
            "kinds": {kind.name: {"limit": kind.corruption.limit.mode} for kind in kinds},
        },
    }


def _refuse_fewer_kinds(output: Path, config: Config, kinds: list[FaultKind]) -> None:
    """Raise TgrError if `output` is the default place and holds a kind of fault that is not among `kinds`."""
    if config.out or config.restart or not output.exists():
        return
    there = store.read(output, SURFACE).table.select(["format", "fault_model"]).to_pylist()
    names = [kind.name for kind in kinds]
    before = dict.fromkeys(f"{row['format']}/{row['fault_model']}" for row in there)
    if lost := [name for name in before if name not in names]:
        refuse(output, f"with --surface {', '.join(lost)}", f"only {', '.join(names)}")


def _settings(config: Config) -> dict[str, Any]:
    """Return the settings that the figures depend on."""
    unused = {*DRAWING, "fault_model", "images_per_fault"} - {"injections", "seed"}
    kept = {name: value for name, value in drawn_with(config).items() if name not in unused}
    return kept | {name: getattr(config, name) for name in RUNNING} | {"sampling": "anchors"}


def _kinds(config: Config, subject: Subject, network: AnyNetwork, found: SiteRanges) -> list[FaultKind]:
    """Return the kinds of fault by the names given with --surface, as int8 or bfloat16/random."""
    kinds: dict[str, FaultKind] = {}
    for text in config.surface:
        name, _, model_name = text.partition("/")
        form, model = struck_values.encoding(name, "--surface"), fault_model_named(model_name or config.fault_model)
        deploying.refuse(form, "--surface")
        if form.dynamic:
            raise TgrError(
                f"--surface {text}: {form.name} shares scales among neighbours, so that a value alone does not say "
                "what a fault makes of it; leave it out"
            )
        if config.limit == "none" and not form.bounded:
            raise TgrError(
                f"--surface {text}: {form.name} holds values beyond any range, between which nothing can be "
                "interpolated; use --limit clamp"
            )
        if config.limit == "format" and not form.bounded:
            raise TgrError(
                f"--surface {text}: --limit format is for formats with a range of their own, and {form.name} has none; "
                "use --limit clamp, which those with one do not need"
            )
        mode = "format" if form.bounded else config.limit
        limit = RangeLimit(cast(LimitMode, mode), {} if mode == "format" else found.max_abs)
        stored = None if form == format_of(subject.dtype) else form
        scales = struck_values.fitted(form, found, network) if form.shared else {}
        kind = f"{form.name}/{model.name}"
        if kind in kinds:
            raise TgrError(f"--surface names {kind} twice; name each once")
        kinds[kind] = FaultKind(kind, Corruption(limit, model, stored, scales, found.max_abs), Choices(model, form))
    return list(kinds.values())


def _rows(config: Config, plan: Plan, kinds: list[FaultKind], effects_K2N: np.ndarray) -> list[dict[str, Any]]:
    sites = len(plan.sites)
    draws = Draws(sites, plan.site_F, np.zeros(len(plan), np.int64), plan.image_F, plan.weight_F)
    places = [("", np.full(sites, 1 / sites))]
    places += [(site.name, np.eye(sites)[number]) for number, site in enumerate(plan.sites)]
    rows = []
    for name, coefficient_S in places:
        for kind, (sdc_N, dloss_N) in zip(kinds, effects_K2N, strict=True):
            estimates = SurfaceEstimates(draws, sdc_N, dloss_N)
            sdc = estimates.sdc_rate(coefficient_S, config.confidence)
            dloss = estimates.mean_dloss(coefficient_S, config.confidence)
            rows.append(
                {
                    "site": name,
                    "format": kind.choices.form.name,
                    "fault_model": kind.choices.model.name,
                    "anchors": int((coefficient_S[plan.site_F] != 0).sum()),
                    "sdc_rate": sdc.mean,
                    "sdc_rate_low": sdc.low,
                    "sdc_rate_high": sdc.high,
                    "mean_dloss": dloss.mean,
                    "mean_dloss_low": dloss.low,
                    "mean_dloss_high": dloss.high,
                    "reliable": dloss.reliable,
                }
            )
    return rows
