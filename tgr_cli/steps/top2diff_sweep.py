"""Cost and benefit of a confidence threshold.

The accuracy above it (NeurIPS 2023, figure 4), and the SDCs caught by re-running inferences below it (ILR, ISSRE 2021).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tgr_cli import defaults
from tgr_cli.artifacts import measurements, store
from tgr_cli.artifacts.facts import refuse_confidence
from tgr_cli.artifacts.layout import Workspace
from tgr_cli.artifacts.measurements import measured_run
from tgr_cli.artifacts.schemas import INJECTIONS, SWEEP
from tgr_cli.artifacts.store import Artifact
from tgr_cli.campaign import confidences, runs
from tgr_cli.data.source import DataSource
from tgr_cli.errors import TgrError, one_of
from tgr_cli.metrics import breakdown, population, rerunning, summary, top2diff, verdict
from tgr_cli.metrics.curves import SEEN, Curve, Injected, Seen, none_for_nan
from tgr_cli.metrics.intervals import Estimate
from tgr_cli.reporting import SILENT, Reporter


@dataclass(frozen=True, kw_only=True)
class Config:
    """The models, the thresholds, and the counting; all runs of the data set if neither `run` nor `golden` is given.

    `run` are runs by name or path (`artifacts.measurements`), `golden` and `injections` artifacts by path; injections
    are assigned to models by fingerprint and deployment. `count_by` and `targets` are as in `metrics.population`.
    `max_overhead` limits the overhead at `target_coverage`, by the criterion `gate_on` (None: top2diff).
    """

    dataset: str = defaults.DATASET
    name: str | None = None
    run: Sequence[str] = ()
    golden: Sequence[Path] = ()
    injections: Sequence[Path] = ()
    count_by: str = defaults.COUNT_BY
    targets: str | None = None
    target_coverage: float = defaults.TARGET_COVERAGE
    start: float = defaults.START
    stop: float = defaults.STOP
    step: float = defaults.STEP
    confidence: float = defaults.CONFIDENCE
    max_overhead: float | None = None
    gate_on: str | None = None
    workdir: Path = defaults.WORKDIR
    out: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop <= 1:
            raise TgrError(
                f"the thresholds go from {self.start:g} to {self.stop:g}; confidences lie in [0, 1], so give "
                "0 ≤ --start ≤ --stop ≤ 1"
            )
        if not 1e-6 <= self.step <= 1:
            raise TgrError(f"--step is {self.step:g}; give a distance between thresholds of up to 1, as 0.01")
        population.check(self.count_by, self.targets)
        if not 0 < self.target_coverage <= 1:
            raise TgrError(f"--target-coverage is {self.target_coverage:g}; give a share of the SDCs up to 1, as 0.9")
        refuse_confidence(self.confidence)
        one_of("--gate-on", self.gate_on, rerunning.CRITERIA)
        if self.gate_on is not None and self.max_overhead is None:
            raise TgrError(f"--gate-on {self.gate_on} names a criterion without a gate; set one with --max-overhead")
        if self.max_overhead is not None and not 0 <= self.max_overhead <= 1:
            raise TgrError(f"--max-overhead is {self.max_overhead:g}; give a share of the inferences, as 0.2")


@dataclass(frozen=True)
class Crossover:
    """The thresholds at which a model overtakes the first model in accuracy; none if never, or never behind."""

    first: str
    candidate: str
    deltas: list[float]
    behind: bool  # at threshold 0


@dataclass(frozen=True, kw_only=True)
class RerunCost:
    """The cost of covering a share of a model's SDCs by one criterion: the lowest threshold, and the images re-run.

    `seen` says whose confidence is compared with the threshold: that of the `faulty` inference, as in a run-time check,
    or of the golden one, as in an analysis by image. `operations` and `sites` are the ones counted, by `count_by`.
    Figures are None if no threshold reaches the share.
    """

    model: str
    criterion: str
    seen: str
    count_by: str
    operations: str
    sites: int
    target_coverage: float
    threshold: float | None
    overhead: float | None
    overhead_low: float | None
    overhead_high: float | None
    reliable: bool


@dataclass(frozen=True, kw_only=True)
class Doubtful:
    """The SDC rate of a model's correct images with Top2Diff below `below`; None if no such image was injected."""

    model: str
    below: float
    images: int
    sdc_rate: float | None
    sdc_rate_low: float | None
    sdc_rate_high: float | None
    reliable: bool


@dataclass(frozen=True)
class Result:
    """The artifact's path and rows, the models in order, the other findings, and the gate's verdict."""

    path: Path
    models: list[str]
    rows: list[dict[str, Any]]
    costs: list[RerunCost]
    doubtful: list[Doubtful]
    crossovers: list[Crossover]
    gate: summary.Gate | None


@dataclass(frozen=True)
class _Model:
    name: str
    golden: Artifact
    injections: Artifact | None


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Sweep the threshold for every model, write the `sweep` artifact and return the findings."""
    workspace = Workspace(config.workdir, DataSource(dataset=config.dataset, name=config.name).folder)
    models = _models(config, workspace)
    for model in models[1:]:
        runs.refuse_other_images(models[0].golden, model.golden)
    injected = {m.name: confidences.injected(m.injections, config.count_by, config.targets) for m in models}
    read = [each.path for model in models for each in (model.golden, model.injections) if each]
    path = store.prepare(config.out or workspace.sweep, SWEEP.kind, config, *read)
    for model in models:
        confidences.note(model.name, model.injections, injected[model.name], config.targets, reporter)
    threshold_D = top2diff.thresholds(config.start, config.stop, config.step)
    rows, costs, doubtful, gated = [], list[RerunCost](), list[Doubtful](), dict[str, Estimate | None]()
    for model in models:
        golden, faults = confidences.golden(model.golden), injected[model.name]
        for criterion in rerunning.CRITERIA:
            curve = Curve.of(criterion, golden, faults, threshold_D, config.confidence)
            about = {"model": model.name, "count_by": None, "operations": None}
            if faults is not None:
                about |= {"count_by": config.count_by, "operations": ", ".join(faults.population.operations)}
                costs += [_cost(model.name, curve, faults, config.target_coverage, seen) for seen in SEEN]
                if criterion == (config.gate_on or defaults.CRITERION):
                    gated[model.name] = curve.at(config.target_coverage).overhead
            rows += [about | row for row in curve.rows()]
        if faults is not None:
            images, rate = faults.doubtful(golden, config.confidence)
            doubtful.append(_doubtful(model.name, images, rate))
    crossovers = [_crossover(models[0], model, threshold_D) for model in models[1:]]
    _write(path, config, models, rows, {"costs": costs, "doubtful": doubtful})
    names = [model.name for model in models]
    gate = _gate(config, {name: gated.get(name) for name in names})
    return Result(path, names, rows, costs, doubtful, crossovers, gate)


def _models(config: Config, workspace: Workspace) -> list[_Model]:
    folders = [measured_run(workspace, name) for name in config.run]
    if not folders and not config.golden:
        folders = measurements.evaluated(workspace)
    if not folders and not config.golden:
        raise TgrError(
            f'no run in {workspace.path} has golden.parquet; run "tgr evaluate" first, or name artifacts with --golden'
        )
    goldens = [(folder.called, runs.read_golden(folder.golden)[1]) for folder in folders]
    goldens += [runs.read_golden(path) for path in config.golden]
    given = [store.read(path, INJECTIONS, columns=breakdown.COLUMNS) for path in config.injections]
    for artifact in given:
        if not any(_of_one_model(golden, artifact) for _, golden in goldens):
            models_ = [golden for _, golden in goldens if golden.provenance.model == artifact.provenance.model]
            runs.refuse_other_model((models_ or [goldens[0][1]])[0], artifact)
    models: list[_Model] = []
    for position, (name, golden) in enumerate(goldens):
        if name in [model.name for model in models]:
            raise TgrError(f'two of the models are called "{name}"; name each run once')
        own = [artifact for artifact in given if _of_one_model(golden, artifact)]
        if len(own) > 1:
            raise TgrError(f"{own[0].path} and {own[1].path} are both of the model of {golden.path}; name one of them")
        if not own and position < len(folders) and folders[position].injections.exists():
            own = [store.read(folders[position].injections, INJECTIONS, columns=breakdown.COLUMNS)]
        for artifact in own:
            runs.refuse_other_model(golden, artifact)
        models.append(_Model(name, golden, own[0] if own else None))
    return models


def _of_one_model(golden: Artifact, other: Artifact) -> bool:
    """Return whether two artifacts are of one model, deployed alike."""
    alike = golden.provenance.model == other.provenance.model
    return alike and not runs.otherwise_deployed(other, golden.provenance.extra)


def _cost(model: str, curve: Curve, faults: Injected, target: float, seen: Seen) -> RerunCost:
    found = curve.at(target, seen)
    mean, low, high = (none_for_nan(value) for value in found.overhead[:3])
    return RerunCost(
        model=model,
        criterion=curve.criterion,
        seen=seen,
        count_by=faults.population.count_by,
        operations=", ".join(faults.population.operations),
        sites=faults.population.sites,
        target_coverage=target,
        threshold=found.threshold,
        overhead=mean,
        overhead_low=low,
        overhead_high=high,
        reliable=found.overhead.reliable,
    )


def _doubtful(model: str, images: int, rate: Estimate) -> Doubtful:
    mean, low, high = (none_for_nan(value) for value in rate[:3])
    return Doubtful(
        model=model,
        below=rerunning.DOUBTFUL,
        images=images,
        sdc_rate=mean,
        sdc_rate_low=low,
        sdc_rate_high=high,
        reliable=rate.reliable,
    )


def _crossover(first: _Model, candidate: _Model, delta_D: np.ndarray) -> Crossover:
    delta_D = np.unique(np.concatenate([[0.0], delta_D]))
    before_D, after_D = (
        top2diff.accuracy_kept(runs.correct(model.golden), model.golden.column("top2diff"), delta_D)
        for model in (first, candidate)
    )
    deltas = top2diff.overtakes(before_D, after_D, delta_D)
    return Crossover(first.name, candidate.name, deltas, behind=bool(after_D[0] < before_D[0]))


def _gate(config: Config, overheads: Mapping[str, Estimate | None]) -> summary.Gate | None:
    """Return whether all models pass, given each overhead (None without injections); None without a gate."""
    if config.max_overhead is None:
        return None
    criterion = rerunning.NAMES[config.gate_on or defaults.CRITERION]
    what = f"the overhead at {config.target_coverage:g} of the SDCs by {criterion}"
    return summary.worst(
        [
            verdict.gate_on_overhead(f"{model}: {what}", overhead, config.max_overhead)
            for model, overhead in overheads.items()
        ]
    )


def _write(path: Path, config: Config, models: Sequence[_Model], rows: Sequence[dict[str, Any]], found: Any) -> None:
    """Write the artifact; the findings (`found`, lists of dataclasses) are stored in its metadata."""
    facts = {name: getattr(config, name) for name in ("start", "stop", "step", "count_by", "targets", "confidence")}
    inputs = {f"golden {model.name}": model.golden.sha256 for model in models}
    inputs |= {f"injections {model.name}": model.injections.sha256 for model in models if model.injections}
    provenance = store.provenance_for(
        SWEEP,
        config=facts | {"target_coverage": config.target_coverage, "runs": [model.name for model in models]},
        classes=models[0].golden.provenance.classes,
        inputs=inputs,
        extra={name: [asdict(each) for each in listed] for name, listed in found.items()}
        | {"formats": {model.name: model.golden.provenance.number_format for model in models}},
    )
    store.write(path, SWEEP, {name: [row[name] for row in rows] for name in SWEEP.arrow.names}, provenance)
