"""Runs a stored plan unit by unit: keeps finished units, repeats damaged ones, runs the rest."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
import pyarrow as pa

from tgr_cli.artifacts.parts import Parts
from tgr_cli.artifacts.rows import first_impossible
from tgr_cli.artifacts.schemas import INJECTIONS, SHARD
from tgr_cli.campaign.config import rows_are
from tgr_cli.campaign.prepared import PreparedCampaign
from tgr_cli.campaign.shard_rows import in_order
from tgr_cli.campaign.stored_plan import Planned
from tgr_cli.cores import cores
from tgr_cli.errors import TgrError
from tgr_cli.faults import processes, units
from tgr_cli.faults.fault_models import Choices
from tgr_cli.faults.plan import Plan

OF_A_UNIT = pa.schema([SHARD.arrow.field("row"), *INJECTIONS.arrow])


def run(
    setup: PreparedCampaign, parts: Parts, planned: Planned, wanted: Sequence[int], *, stage: str = "unit"
) -> pa.Table:
    """Return the SHARD rows of the `wanted` units in plan order; each unit is stored in `parts` when finished.

    `stage` is part of the units' file names, which separates pilot and main stage. On interruption a note says what was
    kept.
    """
    reporter, faults = setup.subject.reporter, planned.faults
    rows = units.rows_of(planned.unit_F)
    noun = rows_are(faults.lasting)
    total = sum(len(rows[unit]) for unit in wanted)
    finished = _finished(setup, parts, stage, faults, {unit: rows[unit] for unit in wanted})
    hits, done = sum(map(_hits, finished.values())), sum(map(len, finished.values()))
    if finished:
        reporter.note(f"{done:,} of {total:,} {noun} were finished before and are kept")
    what = "injecting" if stage == "unit" else f"injecting the {stage}"
    reporter.progress(what, done, total)
    load, labels_N = setup.subject.load, setup.labelled.labels
    left = [unit for unit in wanted if unit not in finished]
    try:
        with (
            jobs_of(setup, len(left)) as jobs,
            closing(units.each(setup.engine, faults, planned.unit_F, left, load, labels_N, jobs=jobs)) as struck,
        ):
            for unit, columns in struck:
                table = setup.rows(faults.take(rows[unit]), columns)
                finished[unit] = table.add_column(0, SHARD.arrow.field("row"), pa.array(rows[unit]))
                parts.write(stage, unit, finished[unit])
                hits, done = hits + _hits(finished[unit]), done + len(rows[unit])
                reporter.progress(what, done, total, f"SDC rate {hits / done:.4f}")
    except KeyboardInterrupt:
        reporter.note(
            f"{done:,} of {total:,} {noun} are finished and kept in {parts.folder}; the same command goes on from there"
        )
        raise
    tables = [
        table.add_column(1, SHARD.arrow.field("unit"), pa.array(np.full(len(table), unit)))
        for unit, table in finished.items()
    ]
    # empty for a shard without units, if there are more shards than units
    return in_order(pa.concat_tables(tables or [SHARD.arrow.empty_table()]))


@contextmanager
def jobs_of(setup: PreparedCampaign, left: int) -> Iterator[int]:
    """Context manager: provide the number of processes for the units that are `left`, by --jobs.

    With the option, torch computes with one thread, whatever the number: rows then do not depend on it.
    """
    jobs = setup.config.jobs
    if jobs is None:
        yield 1
        return
    available = cores()
    if jobs > available and left:
        more = f"--jobs {jobs} is more than the cores here, {available}"
        setup.subject.reporter.note(f"{more}, which makes nothing faster")
    with processes.one_thread():
        yield jobs or available


def _finished(
    setup: PreparedCampaign, parts: Parts, stage: str, faults: Plan, rows: dict[int, np.ndarray]
) -> dict[int, pa.Table]:
    tables, damaged = parts.finished(stage)
    kept = {}
    for unit, table in tables.items():
        if unit in rows:
            if not _is_of_unit(table, rows[unit], faults.take(rows[unit]), setup.values.choices):
                raise TgrError(
                    f"{parts.folder} keeps other faults under unit {unit} than the plan has there: a file was renamed, "
                    "or is of another campaign; discard them with --restart"
                )
            if impossible := first_impossible(table, INJECTIONS):
                raise TgrError(
                    f"{parts.folder} keeps what no campaign writes under unit {unit}: {impossible}; discard it with "
                    "--restart"
                )
            kept[unit] = table
    if damaged:
        setup.subject.reporter.note(f"damaged, and run again: {', '.join(damaged)}")
    return kept


def _is_of_unit(table: pa.Table, row_F: np.ndarray, planned: Plan, choices: Choices) -> bool:
    if not table.schema.equals(OF_A_UNIT) or not np.array_equal(table["row"].to_numpy(), row_F):
        return False
    names = np.array([site.name for site in planned.sites])
    return (
        np.array_equal(table["fault"].to_numpy(), planned.number_F)
        and np.array_equal(table["choice"].to_numpy(), planned.choice_F)
        and np.array_equal(table["footprint"].to_numpy(), planned.footprints)
        and np.array_equal(table["bit"].to_numpy(), choices.bits(planned.choice_F))
        and table["site"].to_pylist() == names[planned.site_F].tolist()
    )


def _hits(table: pa.Table) -> float:
    """Return the weighted number of SDCs."""
    return float(np.where(table["outcome"].to_numpy() == "sdc", table["weight"].to_numpy(), 0.0).sum())
