"""What a threshold on Top2Diff costs and catches: accuracy kept (NeurIPS 2023, figure 4), re-runs (ILR, ISSRE 2021)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import Workspace
from tgr_cli.artifacts.schemas import INJECTIONS, SWEEP
from tgr_cli.artifacts.store import Artifact
from tgr_cli.data.datasets import DataSource
from tgr_cli.errors import TgrError
from tgr_cli.metrics import top2diff
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.steps import runs


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which models, and which thresholds; every run of the data set where neither `run` nor `golden` names any.

    `run` are run folders by name or path, `golden` and `injections` artifacts by path; injections belong to the model
    of their fingerprint.
    """

    dataset: str = "imagenet"
    name: str | None = None
    run: Sequence[str] = ()
    golden: Sequence[Path] = ()
    injections: Sequence[Path] = ()
    start: float = 0.01
    stop: float = 0.40
    step: float = 0.01
    workdir: Path = Path("runs")
    out: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop <= 1:
            raise TgrError(
                f"the thresholds go from {self.start:g} to {self.stop:g}; Top2Diff lies in [0, 1], so give "
                "0 ≤ --start ≤ --stop ≤ 1"
            )
        if not 1e-6 <= self.step <= 1:
            raise TgrError(f"--step is {self.step:g}; give a distance between thresholds of up to 1, as 0.01")


@dataclass(frozen=True)
class Crossover:
    """Where a model's accuracy overtakes the first model's: no delta where it never does, or was never behind."""

    first: str
    candidate: str
    deltas: list[float]
    behind: bool  # without a threshold


@dataclass(frozen=True)
class Result:
    """The artifact's path and rows, the models in their order, and where each later one overtakes the first."""

    path: Path
    models: list[str]
    rows: list[dict[str, Any]]
    crossovers: list[Crossover]


@dataclass(frozen=True)
class _Model:
    name: str
    golden: Artifact
    injections: Artifact | None


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Sweep the threshold for every model, write the `sweep` artifact and return its rows and the crossovers."""
    workspace = Workspace(config.workdir, DataSource(dataset=config.dataset, name=config.name).folder)
    models = _models(config, workspace)
    for model in models[1:]:
        runs.refuse_other_images(models[0].golden, model.golden)
    path = store.prepare(config.out or workspace.sweep)
    for model in models:
        if model.injections is None:
            reporter.note(f'{model.name} has no injections, so no coverage of SDCs; "tgr inject" makes them')
    delta_D = top2diff.thresholds(config.start, config.stop, config.step)
    rows = [row for model in models for row in _rows(model, delta_D)]
    facts = {"start": config.start, "stop": config.stop, "step": config.step, "runs": [m.name for m in models]}
    inputs = {f"golden {model.name}": model.golden.sha256 for model in models}
    inputs |= {f"injections {model.name}": model.injections.sha256 for model in models if model.injections}
    store.write(
        path,
        SWEEP,
        {name: [row[name] for row in rows] for name in SWEEP.arrow.names},
        store.provenance_for(SWEEP, config=facts, classes=models[0].golden.provenance.classes, inputs=inputs),
    )
    crossovers = [_crossover(models[0], model, delta_D) for model in models[1:]]
    return Result(path, [model.name for model in models], rows, crossovers)


def _models(config: Config, workspace: Workspace) -> list[_Model]:
    named = list(config.run)
    if not named and not config.golden:
        named = [path.parent.name for path in sorted(workspace.path.glob("*/golden.parquet"))]
    if not named and not config.golden:
        raise TgrError(
            f'no run in {workspace.path} has golden.parquet; run "tgr evaluate" first, or name artifacts with --golden'
        )
    folders = [runs.run_folder(workspace, name) for name in named]
    goldens = [runs.read_golden(path) for path in (*(folder.golden for folder in folders), *config.golden)]
    given = [store.read(path, INJECTIONS) for path in config.injections]
    for artifact in given:
        if artifact.provenance.model not in [golden.provenance.model for _, golden in goldens]:
            runs.refuse_other_model(goldens[0][1], artifact)
    models: list[_Model] = []
    for position, (name, golden) in enumerate(goldens):
        if name in [model.name for model in models]:
            raise TgrError(f'two of the models are called "{name}"; name each run once')
        own = [artifact for artifact in given if artifact.provenance.model == golden.provenance.model]
        if len(own) > 1:
            raise TgrError(f"{own[0].path} and {own[1].path} are both of the model of {golden.path}; name one of them")
        if not own and position < len(folders) and folders[position].injections.exists():
            own = [store.read(folders[position].injections, INJECTIONS)]
        for artifact in own:
            runs.refuse_other_model(golden, artifact)
        models.append(_Model(name, golden, own[0] if own else None))
    return models


def _rows(model: _Model, delta_D: np.ndarray) -> list[dict[str, Any]]:
    top2diff_N = model.golden.column("top2diff")
    columns = {
        "delta": delta_D,
        "accuracy": top2diff.accuracy_kept(runs.correct(model.golden), top2diff_N, delta_D),
        "overhead": top2diff.rerun_overhead(top2diff_N, delta_D),
        "sdc_coverage": np.full(len(delta_D), np.nan),
        "sdc_coverage_golden": np.full(len(delta_D), np.nan),
    }
    if model.injections is not None:
        site_N, outcome_N, weight_N, faulty_N, golden_N = (
            model.injections.column(name)
            for name in ("site", "outcome", "weight", "faulty_top2diff", "golden_top2diff")
        )
        columns["sdc_coverage"] = top2diff.sdc_coverage(site_N, outcome_N, weight_N, faulty_N, delta_D)
        columns["sdc_coverage_golden"] = top2diff.sdc_coverage(site_N, outcome_N, weight_N, golden_N, delta_D)
    plain = ([None if np.isnan(value) else value for value in values.tolist()] for values in columns.values())
    return [{"model": model.name, **dict(zip(columns, row, strict=True))} for row in zip(*plain, strict=True)]


def _crossover(first: _Model, candidate: _Model, delta_D: np.ndarray) -> Crossover:
    delta_D = np.concatenate([[0.0], delta_D])
    before_D, after_D = (
        top2diff.accuracy_kept(runs.correct(model.golden), model.golden.column("top2diff"), delta_D)
        for model in (first, candidate)
    )
    deltas = top2diff.overtakes(before_D, after_D, delta_D)
    return Crossover(first.name, candidate.name, deltas, behind=bool(after_D[0] < before_D[0]))
