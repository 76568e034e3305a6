"""Judgements that rest on measured runs: comparison, selective protection, failures in time."""

import tempfile
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import ModuleType
from typing import Any, Unpack

from tgr_cli.api.options import CompareOptions, FitOptions, ProtectOptions
from tgr_cli.api.progress import told
from tgr_cli.api.run import Run
from tgr_cli.api.sources import chosen
from tgr_cli.api.table import Table
from tgr_cli.api.wording import in_python
from tgr_cli.artifacts import store
from tgr_cli.artifacts.columns import Schema
from tgr_cli.artifacts.schemas import COMPARISON, FIT, PROTECTION
from tgr_cli.metrics.summary import Gate
from tgr_cli.paths import place

AnyRun = Run | str | Path


@dataclass(frozen=True)
class Judgement:
    """The rows of a judgement, what it told on the way, and the verdict of its gate, if there is one."""

    table: Table
    notes: tuple[str, ...] = ()
    gate: Gate | None = None

    def _repr_html_(self) -> str:
        told = f"<p>{self.gate.verdict}: {escape(self.gate.sentence)}</p>" if self.gate else ""
        return told + self.table._repr_html_()


def compare(
    baseline: AnyRun,
    *candidates: AnyRun,
    out: str | Path | None = None,
    progress: bool = True,
    **options: Unpack[CompareOptions],
) -> Judgement:
    """Compare runs with a baseline, as `tgr compare`: accuracy, cost, and by what factor faults do less.

    A run is a `Run` or the path of one. `out` is where to keep the artifact. Raises TgrError as the command does.
    """
    from tgr_cli.steps import compare as step

    given = {**options, "baseline": _path(baseline), "candidates": [_path(run) for run in candidates]}
    return _judged(step, COMPARISON, given, out, progress)


def protect(
    *runs: AnyRun,
    rerun_with: AnyRun | None = None,
    out: str | Path | None = None,
    progress: bool = True,
    **options: Unpack[ProtectOptions],
) -> Judgement:
    """Choose what to protect, as `tgr protect`: coverage of SDCs against overhead, a row a point of each technique.

    A run needs its golden run (`evaluate`) and a campaign; feature maps are chosen from one with `granularity="map"`.
    `rerun_with` is the run of a model that doubtful inferences are run again on. Raises TgrError as the command does.
    """
    from tgr_cli.steps import protect as step

    given = {**options, "runs": [_path(run) for run in runs]}
    given |= {} if rerun_with is None else {"rerun_with": _path(rerun_with)}
    return _judged(step, PROTECTION, given, out, progress)


def fit(
    *runs: AnyRun,
    raw_fit: float,
    out: str | Path | None = None,
    progress: bool = True,
    **options: Unpack[FitOptions],
) -> Judgement:
    """Return failures in time, as `tgr fit`: a row for each site and for the network, with bounds.

    `raw_fit` are the upsets of the memory in 10⁹ hours per Mbit (`per="bit"`: per bit). Raises TgrError as the command
    does.
    """
    from tgr_cli.steps import fit as step

    return _judged(step, FIT, {**options, "runs": [_path(run) for run in runs], "raw_fit": raw_fit}, out, progress)


def _path(run: AnyRun) -> str:
    """Return the path by which commands find a run: of a file of it, which says which deployment is meant."""
    if not isinstance(run, Run):
        return str(run)
    files = (run.measurement.injections, run.measurement.golden)
    return str(next((file for file in files if file.exists()), run.folder))


def _judged(
    step: ModuleType, schema: Schema, given: dict[str, Any], out: str | Path | None, progress: bool
) -> Judgement:
    with in_python(), told(shown=progress) as reporter, tempfile.TemporaryDirectory(prefix="tgr-") as folder:
        path = place(out) if out else place(folder) / f"{schema.kind}.parquet"
        result = step.run(step.Config(**chosen(step.Config, given), out=path), reporter)
        artifact = store.read(path, schema)
        facts = {"config": artifact.provenance.config, **artifact.provenance.extra}
        return Judgement(Table(artifact.table, facts), tuple(reporter.notes), result.gate)
