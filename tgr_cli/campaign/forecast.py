"""Forecast of a campaign's cost: samples and stores its plan, and times some of its faults."""

import shutil
import time
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import pyarrow as pa

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import of_target
from tgr_cli.artifacts.parts import Parts, content
from tgr_cli.artifacts.schemas import PLAN
from tgr_cli.campaign import planning
from tgr_cli.campaign.config import Config
from tgr_cli.campaign.deployed import open_subject
from tgr_cli.campaign.prepared import PreparedCampaign
from tgr_cli.campaign.replacing import refuse_other_faults
from tgr_cli.campaign.stored_plan import Planned
from tgr_cli.faults import units
from tgr_cli.reporting import SILENT, Reporter

SITES_TRIED, FAULTS_TRIED = 8, 64  # times of other sites are interpolated


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A stored plan with the expected time of its campaign in seconds and disk space in bytes.

    `seconds` are those of the faults. A process takes `start` seconds before its first fault if the plan is there
    already. A lasting fault has one row per image that it is tried on.
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
    seconds: float
    disk: int

    def on(self, nodes: int) -> float:
        """Return the expected seconds of the longest shard, if this many equal machines run one shard each."""
        return self.start + self.seconds * ceil(self.units / nodes) / max(1, self.units)


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
        setup = PreparedCampaign.of(config, subject)
        start = time.perf_counter() - began
        planned = planning.planned(setup, parts)
        seconds, disk = _tried(setup, planned)
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
        start=start,
        seconds=seconds,
        disk=disk,
    )


def _tried(setup: PreparedCampaign, planned: Planned) -> tuple[float, int]:
    """Return the expected seconds and bytes, measured on faults of some sites in the first batch of images."""
    faults, subject = planned.faults, setup.subject
    image_K = np.unique(faults.image_F[planned.unit_F < planned.units[0] + len(faults.sites)])
    image_K = image_K[: setup.engine.images_at_once]
    in_lot_F = np.isin(faults.image_F, image_K)
    present = np.unique(faults.site_F[in_lot_F])
    tried = np.unique(present[np.linspace(0, len(present) - 1, min(SITES_TRIED, len(present))).round().astype(int)])
    x_KCHW = subject.load(image_K)
    began = time.perf_counter()
    golden_KC = setup.engine.prepare(x_KCHW)
    an_image = (time.perf_counter() - began) / len(image_K)
    a_fault, tables = [], []
    for number, site in enumerate(tried):
        some = faults.take(np.flatnonzero(in_lot_F & (faults.site_F == site))[:FAULTS_TRIED])
        # warm-up: keep one-time costs out of the timing
        units.strike(setup.engine, some.take(np.arange(1)), image_K, golden_KC, setup.labelled.labels)
        began = time.perf_counter()
        columns = units.strike(setup.engine, some, image_K, golden_KC, setup.labelled.labels)
        a_fault.append((time.perf_counter() - began) / len(some))
        tables.append(setup.rows(some, columns))
        subject.reporter.progress("trying", number + 1, len(tried))
    counts_S = np.bincount(faults.site_F, minlength=len(faults.sites))
    seconds = counts_S @ np.interp(np.arange(len(counts_S)), tried, a_fault)
    seconds += an_image * len(np.unique(faults.image_F))
    return float(seconds), _disk(len(faults), len(planned.units), pa.concat_tables(tables))


def _disk(faults: int, units: int, some: pa.Table) -> int:
    """Return the expected size of all parts and the final artifact in bytes, extrapolated from some rows."""
    a_file = len(content(some.slice(0, 1)))
    a_row = (len(content(some)) - a_file) / max(1, len(some) - 1)
    return round(a_file * (units + 1) + a_row * 2 * faults)
