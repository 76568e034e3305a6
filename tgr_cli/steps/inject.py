"""Run a campaign of faults: one row per fault, and each site's vulnerability."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import Workspace, of_target
from tgr_cli.artifacts.parts import Parts
from tgr_cli.artifacts.provenance import Provenance, normalised
from tgr_cli.artifacts.schemas import INJECTIONS, SHARD
from tgr_cli.artifacts.store import provenance_for
from tgr_cli.campaign import granularity, identity, planning, results, running
from tgr_cli.campaign.config import Config as Config  # the options of `tgr inject`
from tgr_cli.campaign.deployed import open_subject
from tgr_cli.campaign.identity import run_with
from tgr_cli.campaign.prepared import PreparedCampaign
from tgr_cli.campaign.regression import StoredCampaign
from tgr_cli.campaign.replacing import refuse_other_faults
from tgr_cli.campaign.shard_rows import injections
from tgr_cli.campaign.stored_plan import Planned
from tgr_cli.campaign.subject import Subject
from tgr_cli.campaign.verify import verify
from tgr_cli.faults import units
from tgr_cli.metrics import summary
from tgr_cli.reporting import SILENT, Reporter


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished campaign: its artifacts and figures, and the gate's verdict, if any.

    `verified` counts the faults that were re-run with the engine `full` and gave the same result.
    """

    written: results.Written
    gate: summary.Gate | None
    verified: int


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A finished shard of a campaign: its artifact, and its numbers of faults, rows and units of the plan."""

    run: str
    path: Path
    faults: int
    rows: int
    faults_in_all: int
    units: int
    units_in_all: int
    verified: int


def run(config: Config, reporter: Reporter = SILENT) -> Result | Shard:
    """Return the finished campaign, or the shard selected by `config`.

    Finished units are stored beside the output until it is written, so a killed run can resume; the artifacts are
    written at the end by atomic rename, and then verified if requested.
    """
    before = _held_against(config)
    config = granularity.as_planned(config)
    subject = open_subject(config, reporter)
    output = config.out or _default(config, subject)
    kind = (SHARD if config.part else INJECTIONS).kind
    store.prepare(output, kind, config, *([before.path] if before else []))
    refuse_other_faults(output, kind, config)
    if not config.part:
        for path, schema in results.beside(output, by_map=config.by_map):
            store.prepare(path, schema.kind, config)
    with Parts.beside(
        output, *(path for path, _ in results.beside(output, by_map=True)), restart=config.restart
    ) as parts:
        setup = PreparedCampaign.of(config, subject)
        if before:
            before.refuse_unlike(_as_made(setup), subject.reporter)
        planned = planning.planned(setup, parts)
        number, count = config.part or (1, 1)
        wanted = units.of_shard(planned.unit_F, len(planned.faults.sites), number, count)
        table = running.run(setup, parts, planned, wanted)
        facts = _facts(setup, planned)
        if config.part:
            facts["extra"] |= {"shard": [number, count], "units": len(planned.units), "rows": len(planned.faults)}
            store.write(output, SHARD, table, provenance_for(SHARD, **facts))
        else:
            written = results.write(output, injections(table), facts)
        parts.done()
    verified = 0
    if config.verify:
        some = planned.faults.take(table["row"].to_numpy())
        columns = {name: table[name].to_pylist() for name in ("outcome", "dloss")}
        subject, network, corruption = setup.subject, setup.network, setup.values.corruption
        checked = {"count": config.verify, "seed": config.seed}
        verified = verify(subject, network, corruption, some, columns, setup.labelled.labels, **checked)
    if config.part:
        return Shard(
            run=subject.name,
            path=output,
            faults=planned.faults.take(table["row"].to_numpy()).count,
            rows=len(table),
            faults_in_all=planned.faults.count,
            units=len(wanted),
            units_in_all=len(planned.units),
            verified=verified,
        )
    gate = summary.judge_gate(written.network, max_sdc_rate=config.max_sdc_rate, max_dloss=config.max_dloss)
    if before:
        unchanged = before.judge(written.network, limited=written.limited)
        gate = summary.worst([gate, unchanged] if gate else [unchanged])
    return Result(written=written, gate=gate, verified=verified)


def _held_against(config: Config) -> StoredCampaign | None:
    """Return the stored campaign that this one must not be worse than, if one is named."""
    if config.fail_on_change is None:
        return None
    return StoredCampaign.read(Workspace(config.workdir, config.data.folder), config.fail_on_change)


def _as_made(setup: PreparedCampaign) -> Provenance:
    """Return what the artifact of a campaign will say of its settings, before it is run."""
    drawn = {**normalised(setup.config), **identity.drawn_with(setup.config)}
    return provenance_for(INJECTIONS, config={**drawn, **run_with(setup.config)}, **setup.facts)


def _default(config: Config, subject: Subject) -> Path:
    whole = subject.file(of_target(subject.loaded.run.injections, config.target))
    return whole.with_stem(f"{whole.stem}-{config.part[0]}-of-{config.part[1]}") if config.part else whole


def _facts(setup: PreparedCampaign, planned: Planned) -> dict[str, Any]:
    """Return the provenance of a campaign's artifacts: the plan's, and the settings of the run."""
    of_plan = planned.provenance
    return {
        "config": {**of_plan.config, **run_with(setup.config)},
        "seed": of_plan.seed,
        **setup.facts,
        "inputs": dict(of_plan.inputs),
        # Not an input: a plan drawn here is deleted with the parts. Equal settings draw it again; --plan-only keeps it.
        "extra": setup.facts["extra"]
        | {name: of_plan.extra[name] for name in ("sites", "pilot", "feature_maps") if name in of_plan.extra}
        | {"plan": planned.sha256},
    }
