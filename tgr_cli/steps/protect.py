"""Choose protections from campaigns: chosen on the analysis images, judged on the deployment images.

Source: Mahmoud et al., "Optimizing selective protection for CNN resilience" (ISSRE 2021), sections III to VI.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tgr_cli import defaults
from tgr_cli.artifacts import store
from tgr_cli.artifacts.facts import refuse_confidence
from tgr_cli.artifacts.layout import Workspace
from tgr_cli.artifacts.measurements import measured_run
from tgr_cli.artifacts.schemas import INJECTIONS, PROTECTION
from tgr_cli.artifacts.store import Artifact
from tgr_cli.campaign import confidences, runs
from tgr_cli.data.source import DataSource
from tgr_cli.errors import TgrError, one_of
from tgr_cli.metrics import breakdown, population, rerunning, summary, verdict
from tgr_cli.protection import evidence, split
from tgr_cli.protection.duplication import VULNERABILITIES, agreements
from tgr_cli.protection.evidence import Evidence, Rerun
from tgr_cli.protection.maps import Maps, maps_of, network_macs
from tgr_cli.protection.point import Choice, Point
from tgr_cli.protection.techniques import TECHNIQUES, Technique
from tgr_cli.reporting import SILENT, Reporter

COLUMNS = (*breakdown.COLUMNS, "value_before", "dloss", "faulty_label")  # of injections


@dataclass(frozen=True, kw_only=True)
class Config:
    """The runs, by name or path (`artifacts.measurements`), the techniques, and the coverage of SDCs to reach.

    `technique` empty: all that a run's campaign serves. `order` are orders of feature maps (empty: by dLoss),
    `criterion` a confidence (None: both for re-running alone, Top2Diff beside duplication). `count_by` None is each
    technique's own, as published. `split` is the share of the images for analysis, in `folds` (`duplication`).
    `rerun_with` names the run of a model that inferences are run again on, `rerun_cost` its work over the protected
    model's (None: by multiply-accumulates).
    """

    runs: Sequence[str]
    technique: Sequence[str] = ()
    target_coverage: float = defaults.TARGET_COVERAGE
    order: Sequence[str] = ()
    criterion: str | None = None
    rerun_with: str | None = None
    rerun_cost: float | None = None
    count_by: str | None = None
    targets: str | None = None
    split: float = defaults.ANALYSIS_SHARE
    folds: int = defaults.FOLDS
    seed: int = defaults.SEED
    confidence: float = defaults.CONFIDENCE
    max_overhead: float | None = None
    min_coverage: float | None = None
    dataset: str = defaults.DATASET
    name: str | None = None
    workdir: Path = defaults.WORKDIR
    out: Path | None = None

    def __post_init__(self) -> None:
        if not self.runs:
            raise TgrError("there is no run to protect; name at least one run with a golden run and a campaign")
        for name in self.technique:
            one_of("--technique", name, TECHNIQUES)
        for name in self.order:
            one_of("--order", name, VULNERABILITIES)
        for option, given in (("--technique", self.technique), ("--order", self.order)):
            if twice := [name for name in given if list(given).count(name) > 1]:
                raise TgrError(f"{option} {twice[0]} is given twice; give each once")
        one_of("--criterion", self.criterion, rerunning.CRITERIA)
        population.check(self.count_by or defaults.COUNT_BY, self.targets)
        refuse_confidence(self.confidence)
        if not 0 < self.target_coverage <= 1:
            raise TgrError(f"--target-coverage is {self.target_coverage:g}; give a share of the SDCs up to 1, as 0.9")
        if not 0 < self.split < 1:
            raise TgrError(f"--split is {self.split:g}; give the share of the images for analysis, as 0.8")
        if self.folds < 1:
            raise TgrError(f"--folds is {self.folds}; give 1 or more parts of the analysis images, as 5")
        if self.rerun_cost is not None:
            if self.rerun_with is None:
                raise TgrError("--rerun-cost is of the model that runs again; name its run with --rerun-with")
            if not 0 < self.rerun_cost < 1e6:
                raise TgrError(f"--rerun-cost is {self.rerun_cost:g}; give its work over the protected model's, as 0.3")
        for option, value in (("--max-overhead", self.max_overhead), ("--min-coverage", self.min_coverage)):
            if value is not None and not 0 <= value <= 1:
                raise TgrError(f"{option} is {value:g}; give a share from 0 to 1, as 0.5")

    def choice(self, technique: Technique) -> Choice:
        """Return what is asked of a technique."""
        criteria = (self.criterion,) if self.criterion else rerunning.CRITERIA
        if technique.orders and not self.criterion:
            criteria = (defaults.CRITERION,)
        return Choice(
            target=self.target_coverage,
            orders=self.order or (defaults.ORDER,),
            criteria=criteria,
            threshold_D=rerunning.THRESHOLDS,
            confidence=self.confidence,
        )


@dataclass(frozen=True)
class Result:
    """The artifact's path and rows, a sentence for each target that is out of reach, and the gate's verdict.

    `agreements` are the rank correlations of heuristic orders with injected ones, by model.
    """

    path: Path
    rows: list[dict[str, Any]]
    unreached: list[str]
    agreements: list[dict[str, Any]]
    gate: summary.Gate | None


@dataclass(frozen=True)
class _Model:
    """One run: its artifacts, and what is known of it whatever the technique."""

    name: str
    golden: Artifact
    injections: Artifact
    rerun: Rerun
    fold_I: np.ndarray


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Choose a protection by every technique for every run, write the `protection` artifact and return its rows."""
    workspace = Workspace(config.workdir, DataSource(dataset=config.dataset, name=config.name).folder)
    models = [_model(workspace, run, config) for run in config.runs]
    names = [model.name for model in models]
    if twice := [name for name in names if names.count(name) > 1]:
        raise TgrError(f'two of the runs are called "{twice[0]}"; name each once, or rename one')
    asked = [(model, name) for model in models for name in _techniques(config, model, reporter)]
    read = [artifact.path for model in models for artifact in (model.golden, model.injections)]
    path = store.prepare(config.out or workspace.protection, PROTECTION.kind, config, *read)
    rows, chosen, unreached, gates = list[dict[str, Any]](), list[dict[str, Any]](), list[str](), list[summary.Gate]()
    agreeing = list[dict[str, Any]]()
    for done, (model, name) in enumerate(asked):
        reporter.progress("techniques", done, len(asked))
        known = _evidence(model, config, TECHNIQUES[name])
        _note(model, known, config, reporter)
        points = list(TECHNIQUES[name].points(known, config.choice(TECHNIQUES[name])))
        rows += [_row(model.name, name, known, point) for point in points]
        for what, best in _chosen(f"{model.name}: {name}", points, TECHNIQUES[name], config):
            gates += _gates(what, best, config)
            if best is None:
                unreached.append(_unreached(what, known, config))
            else:
                chosen.append(_facts(model, name, best, known.maps))
        if name == "flr":
            agreeing += [{"model": model.name, **each._asdict()} for each in agreements(known, config.order)]
    _write(path, config, models, rows, {"chosen": chosen, "agreements": agreeing})
    return Result(path, rows, unreached, agreeing, summary.worst(gates) if gates else None)


def _model(workspace: Workspace, run: str, config: Config) -> _Model:
    folder = measured_run(workspace, run)
    golden = runs.read_golden(folder.golden)[1]
    injections = store.read(folder.injections, INJECTIONS, columns=COLUMNS)
    runs.refuse_other_model(golden, injections)
    if injections.table.num_rows == 0:
        raise TgrError(f'{injections.path} holds no fault; run "tgr inject" again')
    images = golden.column("image_id").tolist()
    fold_I = split.folds(images, split.analysis(images, config.split, config.seed), config.folds, config.seed)
    return _Model(folder.called, golden, injections, _rerun(workspace, golden, injections, config), fold_I)


def _rerun(workspace: Workspace, golden: Artifact, injections: Artifact, config: Config) -> Rerun:
    """Return what a second run finds and costs: of the model itself, or of the one that --rerun-with names."""
    if config.rerun_with is None:
        return Rerun(np.ones(injections.table.num_rows, bool), None, 1.0)
    folder = measured_run(workspace, config.rerun_with)
    lighter = runs.read_golden(folder.golden)[1]
    runs.refuse_other_images(golden, lighter)
    predicted = dict(zip(lighter.column("image_id").tolist(), lighter.column("prediction").tolist(), strict=True))
    again_I, again_N = (
        np.array([predicted[name] for name in artifact.column("image_id").tolist()])
        for artifact in (golden, injections)
    )
    faulty_N = injections.table["faulty_label"].fill_null(-1).to_numpy()
    cost = config.rerun_cost or _cost(folder.injections, injections)
    return Rerun(again_N != faulty_N, again_I != golden.column("prediction"), cost)


def _cost(campaign: Path, protected: Artifact) -> float:
    """Return the multiply-accumulates of the model with this campaign over those of the protected one."""
    if not campaign.exists():
        raise TgrError(
            f'{campaign} does not exist, so the work of a second run is unknown; run "tgr inject" on that model, or '
            "give its share of the protected model's work with --rerun-cost"
        )
    return network_macs(store.read(campaign, INJECTIONS, columns=("site",))) / network_macs(protected)


def _techniques(config: Config, model: _Model, reporter: Reporter) -> list[str]:
    """Return the techniques asked for, or all that the run's campaign serves; refuses those that need other faults."""
    lacking = [name for name, each in TECHNIQUES.items() if each.orders]
    if model.injections.provenance.extra.get("feature_maps"):
        return list(config.technique or TECHNIQUES)
    why = f"{model.injections.path} has its faults drawn over whole sites, not over feature maps"
    if wanted := [name for name in config.technique if name in lacking]:
        raise TgrError(f'{why}, which --technique {wanted[0]} needs; run "tgr inject --granularity map" first')
    if not config.technique:
        reporter.note(f'{why}, so without {" and ".join(lacking)}; "tgr inject --granularity map" makes them')
    return list(config.technique) or [name for name in TECHNIQUES if name not in lacking]


def _evidence(model: _Model, config: Config, technique: Technique) -> Evidence:
    injected = confidences.injected(model.injections, config.count_by or technique.count_by, config.targets)
    assert injected is not None, "a campaign without a fault"
    dloss_N, value_N = (model.injections.table[name].to_numpy() for name in ("dloss", "value_before"))
    maps = maps_of(model.injections, injected.struck.sites, config.targets) if technique.orders else None
    return evidence.Evidence.of(
        confidences.golden(model.golden), injected, model.fold_I, dloss_N, value_N, maps, model.rerun
    )


def _note(model: _Model, known: Evidence, config: Config, reporter: Reporter) -> None:
    confidences.note(model.name, model.injections, known.injected, config.targets, reporter)
    for part, images in zip(known.parts, ("analysis", "deployment"), strict=True):
        if not len(part.coverage.sdc_K):
            reporter.note(f"{model.name}: no fault on the {images} images was an SDC, so no coverage is known on them")


def _unreached(what: str, known: Evidence, config: Config) -> str:
    if not len(known.analysis.coverage.sdc_K):
        return f"{what} chooses nothing, as no fault on the analysis images was an SDC; inject more faults."
    return f"{what} cannot catch {config.target_coverage:.6g} of the analysis images' SDCs."


def _row(model: str, technique: str, known: Evidence, point: Point) -> dict[str, Any]:
    counted = known.injected.population
    about = {"model": model, "technique": technique, "count_by": counted.count_by}
    return about | {"operations": ", ".join(counted.operations)} | point.row()


def _chosen(
    what: str, points: Sequence[Point], technique: Technique, config: Config
) -> Iterator[tuple[str, Point | None]]:
    """Yield `what` with each order and criterion asked for, and the point that was chosen for it, None if none was."""
    choice = config.choice(technique)
    for order in choice.orders if technique.orders else (None,):
        for criterion in choice.criteria if technique.reruns else (None,):
            own = [each for each in points if (each.order, each.criterion) == (order, criterion)]
            named = [what, *(f"by {name}" for name in (order, criterion) if name)]
            yield " ".join(named), next((point for point in own if point.chosen), None)


def _facts(model: _Model, technique: str, point: Point, maps: Maps | None) -> dict[str, Any]:
    """Return a chosen point as metadata, from which the guarded model can be built."""
    chosen = maps.by_site(point.maps) if maps is not None and point.maps is not None else None
    about = {name: getattr(point, name) for name in ("order", "criterion", "threshold")}
    about |= {"fingerprint": model.golden.provenance.model}
    return {"model": model.name, "technique": technique, **about, "maps": chosen}


def _gates(what: str, point: Point | None, config: Config) -> list[summary.Gate]:
    found = []
    if config.max_overhead is not None:
        overhead = None if point is None else point.overhead_deployment
        found.append(verdict.gate_on_overhead(f"{what}: the overhead", overhead, config.max_overhead))
    if config.min_coverage is not None:
        coverage = None if point is None else point.coverage_deployment
        found.append(verdict.gate_on_coverage(f"{what}: the coverage", coverage, config.min_coverage))
    return found


def _write(
    path: Path,
    config: Config,
    models: Sequence[_Model],
    rows: Sequence[dict[str, Any]],
    found: Mapping[str, Any],
) -> None:
    settings = (
        *("target_coverage", "order", "criterion", "rerun_with", "rerun_cost"),
        *("split", "folds", "targets", "confidence"),
    )
    inputs = {f"golden {model.name}": model.golden.sha256 for model in models}
    inputs |= {f"injections {model.name}": model.injections.sha256 for model in models}
    provenance = store.provenance_for(
        PROTECTION,
        config={"models": [model.name for model in models]} | {name: getattr(config, name) for name in settings},
        seed=config.seed,
        classes=models[0].golden.provenance.classes,
        inputs=inputs,
        extra={
            "formats": {model.name: model.golden.provenance.number_format for model in models},
            **found,
        },
    )
    store.write(path, PROTECTION, {name: [row[name] for row in rows] for name in PROTECTION.arrow.names}, provenance)
