"""Forecast of a campaign's cost: samples and stores its plan, and times some of its faults."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import of_target
from tgr_cli.artifacts.parts import Parts, content
from tgr_cli.artifacts.schemas import PLAN
from tgr_cli.campaign import planning, ranges
from tgr_cli.campaign.config import Config
from tgr_cli.campaign.deployed import open_subject
from tgr_cli.campaign.prepared import PreparedCampaign
from tgr_cli.campaign.replacing import refuse_other_faults
from tgr_cli.campaign.stored_plan import Planned
from tgr_cli.faults import units
from tgr_cli.faults.plan import Plan
from tgr_cli.reporting import SILENT, Reporter

SITES_TRIED, FAULTS_TRIED = 16, 64  # times of other sites are interpolated


@dataclass(frozen=True, kw_only=True)
class Costs:
    """The expected seconds of a plan's parts: of a fault at each site, [S], of an image, and of a lot of images.

    `first_S` are what the first fault at each site takes in a process beyond that.
    """

    unit_F: np.ndarray
    image_F: np.ndarray
    fault_S: np.ndarray
    first_S: np.ndarray
    image: float
    lot: float
    images_a_lot: int

    def of_shards(self, count: int) -> np.ndarray:
        """Return the expected seconds of each of `count` shards without its start, [count].

        A shard computes the golden activations of all images of a chunk in which it has a unit.
        """
        sites = len(self.fault_S)
        unit_U, shard_U = units.shards(self.unit_F, sites, count)
        faults_U = np.unique(self.unit_F, return_counts=True)[1]
        seconds_N = np.bincount(shard_U, faults_U * self.fault_S[unit_U % sites], count + 1)
        begun = np.unique(np.stack([shard_U, unit_U % sites]), axis=1)
        seconds_N += np.bincount(begun[0], self.first_S[begun[1]], count + 1)
        visited = np.unique(np.stack([shard_U, unit_U // sites]), axis=1)
        images_C = np.bincount(np.unique(np.stack([self.unit_F // sites, self.image_F]), axis=1)[0])
        lots_C = np.ceil(images_C / self.images_a_lot)
        chunk_C = images_C * self.image + lots_C * self.lot
        return (seconds_N + np.bincount(visited[0], chunk_C[visited[1]], count + 1))[1:]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A stored plan with the expected time of its campaign in seconds and disk space in bytes.

    `seconds` are those of one process that runs it all. A process takes `start` seconds before its first fault if the
    plan and the ranges are there already. A lasting fault has one row per image that it is tried on.
    """

    run: str
    path: Path
    sites: int
    faults: int
    rows: int
    pilot: int
    images: int
    units: int
    start: float
    costs: Costs
    disk: int

    @property
    def seconds(self) -> float:
        """Return the expected seconds of all faults, in one process."""
        return float(self.costs.of_shards(1)[0])

    def on(self, nodes: int) -> float:
        """Return the expected seconds of the longest shard, if this many equal machines run one shard each."""
        return self.start + float(self.costs.of_shards(nodes).max())

    def idle(self, nodes: int) -> int:
        """Return the number of shards without a fault, if there are as many shards as `nodes`."""
        return int((self.costs.of_shards(nodes) == 0).sum())


def run(config: Config, reporter: Reporter = SILENT, *, began: float | None = None) -> Forecast:
    """Return the forecast of the campaign; only the pilot is run, if the plan needs one.

    `began` is the `time.perf_counter` at the process's start, before the libraries were imported (None: now).
    """
    began = time.perf_counter() if began is None else began
    subject = open_subject(config, reporter)
    output = store.prepare(
        config.out or subject.file(of_target(subject.loaded.run.plan, config.target)), PLAN.kind, config
    )
    refuse_other_faults(output, PLAN.kind, config)
    with Parts.beside(output, restart=config.restart) as parts:
        with ranges.profiling_timed() as profiling:
            setup = PreparedCampaign.of(config, subject)
        labels_N = setup.labelled.labels  # every process classifies the images for it, if these are golden ones
        start = time.perf_counter() - began - sum(profiling)
        planned = planning.planned(setup, parts)
        once, costs, disk = _tried(setup, planned, labels_N)
        with store.replacing(output) as temporary:
            shutil.copyfile(parts.folder / "plan.parquet", temporary)
        parts.done()
    return Forecast(
        run=subject.name,
        path=output,
        sites=len(np.unique(planned.faults.site_F)),
        faults=planned.faults.count,
        rows=len(planned.faults),
        pilot=planned.pilot,
        images=len(np.unique(planned.faults.image_F)),
        units=len(planned.units),
        start=start + once,
        costs=costs,
        disk=disk,
    )


def _tried(setup: PreparedCampaign, planned: Planned, labels_N: np.ndarray) -> tuple[float, Costs, int]:
    """Return what the first batch costs once, the costs, from some faults on the first images, and the bytes."""
    faults, subject, engine = planned.faults, setup.subject, setup.engine
    image_K = np.unique(faults.image_F[planned.unit_F < planned.units[0] + len(faults.sites)])
    image_K = image_K[: engine.images_at_once]
    in_lot_F = np.isin(faults.image_F, image_K)
    present = np.unique(faults.site_F[in_lot_F])
    tried = np.unique(present[np.linspace(0, len(present) - 1, min(SITES_TRIED, len(present))).round().astype(int)])
    warm_up, _ = _timed(lambda: engine.prepare(subject.load(image_K[:1])))
    whole, golden_KC = _timed(lambda: engine.prepare(subject.load(image_K)))
    a_lot, _ = _timed(lambda: engine.measure([faults.sites[site] for site in present]))

    def struck(some: Plan) -> pa.Table:
        columns = units.strike(engine, some, image_K, golden_KC, labels_N)
        return setup.rows(some, columns)

    a_fault, a_site, tables = [], [], []
    for number, site in enumerate(tried):
        some = faults.take(np.flatnonzero(in_lot_F & (faults.site_F == site))[:FAULTS_TRIED])
        first, _ = _timed(partial(struck, some.take(np.arange(1))))
        seconds, table = _timed(partial(struck, some))
        a_fault.append(seconds / len(some))
        a_site.append(max(0.0, first - seconds / len(some)))
        tables.append(table)
        subject.reporter.progress("trying", number + 1, len(tried))
    costs = Costs(
        unit_F=planned.unit_F,
        image_F=faults.image_F,
        fault_S=np.interp(np.arange(len(faults.sites)), tried, a_fault),
        first_S=np.interp(np.arange(len(faults.sites)), tried, a_site),
        image=whole / len(image_K),
        lot=a_lot,
        images_a_lot=engine.images_at_once,
    )
    once = max(0.0, warm_up - costs.image * engine.network.batch_size)  # a forward pass has as many images, or padding
    return once, costs, _disk(len(faults), len(planned.units), pa.concat_tables(tables))


Result = TypeVar("Result")


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Return the seconds that `work` takes, and its result."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def _disk(faults: int, units: int, some: pa.Table) -> int:
    """Return the expected size of all parts and the final artifact in bytes, extrapolated from some rows."""
    a_file = len(content(some.slice(0, 1)))
    a_row = (len(content(some)) - a_file) / max(1, len(some) - 1)
    return round(a_file * (units + 1) + a_row * 2 * faults)
