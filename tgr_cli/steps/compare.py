"""Compare candidates with a baseline: accuracy, cost, improvement factors and Top2Diff, a row of the paper's Table 1.

Twice for each candidate: on the images of each model's own campaign (`own`), and on those of them that both models
classify correctly (`common`), so that neither is measured on easier images.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import RunFolder, Workspace
from tgr_cli.artifacts.schemas import COMPARISON, INJECTIONS, VULNERABILITY
from tgr_cli.artifacts.store import Artifact
from tgr_cli.data.datasets import DataSource
from tgr_cli.errors import TgrError
from tgr_cli.metrics import improvement, summary, verdict
from tgr_cli.metrics.estimates import NO_ESTIMATE, Figure, codes
from tgr_cli.metrics.mcnemar import mcnemar
from tgr_cli.metrics.settling import settling
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.steps import results, runs

# What moves the faults a campaign draws, or how they are judged; how many there are only widens the intervals.
CHOICES = {
    "--limit": "limit",
    "--targets": "targets",
    "--label": "label",
    "--all-images": "all_images",
    "--images": "images",
    "--engine": "engine",
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which runs: folders by name within the data set's folder, or by path."""

    baseline: str
    candidates: Sequence[str]
    dataset: str = "imagenet"
    name: str | None = None
    workdir: Path = Path("runs")
    out: Path | None = None

    def __post_init__(self) -> None:
        if not self.candidates:
            raise TgrError("there is no candidate to compare with the baseline; name at least one run more")


@dataclass(frozen=True)
class Result:
    """The artifact's path and its rows."""

    path: Path
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class _Run:
    """A measured run: its name, its artifacts, and what is read from them once."""

    name: str
    golden: Artifact
    injections: Artifact
    vulnerability: Artifact
    rows: list[dict[str, Any]]
    faults: summary.Faults

    @property
    def correct_ids(self) -> np.ndarray:
        return self.golden.column("image_id")[runs.correct(self.golden)]

    @property
    def right_by_id(self) -> np.ndarray:
        """Which images are classified correctly, bool [N] in the order of their ids."""
        return runs.correct(self.golden)[np.argsort(self.golden.column("image_id"))]

    @property
    def limit(self) -> str:
        return str(self.injections.provenance.config.get("limit"))

    @property
    def target(self) -> str:
        return str(self.injections.provenance.config.get("target", "neuron"))

    @property
    def last(self) -> tuple[str, ...]:
        return tuple(self.injections.provenance.extra["last_sites"])

    @property
    def clusters(self) -> int:
        """How many clusters the intervals rest on: images, or of faults in tensors the faults."""
        return len(np.unique(codes(self.faults.cluster)))

    @property
    def faults_a_site(self) -> float:
        return (len(self.faults) if self.target == "neuron" else self.clusters) / len(self.rows)


@dataclass(frozen=True)
class _Figures:
    """A run on one choice of images: its sites' facts, their faults, and Top2Diff of its correct images."""

    rows: list[dict[str, Any]]
    faults: summary.Faults
    top2diff_N: np.ndarray

    def outcomes(self, outcome: str) -> int:
        return int((self.faults.outcome == outcome).sum())

    @property
    def mean_top2diff(self) -> float | None:
        return float(self.top2diff_N.mean()) if len(self.top2diff_N) else None


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Compare every candidate with the baseline, write the `comparison` artifact and return its rows."""
    workspace = Workspace(config.workdir, DataSource(dataset=config.dataset, name=config.name).folder)
    opened = [_open(runs.run_folder(workspace, run)) for run in (config.baseline, *config.candidates)]
    names = [measured.name for measured in opened]
    for name in names:
        if names.count(name) > 1:
            raise TgrError(f'two of the runs are called "{name}"; name each once, or rename the folder of one')
    baseline, *candidates = opened
    for candidate in candidates:
        _refuse(baseline, candidate)
    path = store.prepare(config.out or workspace.comparison)
    for measured in opened:
        _note_choices(measured, baseline, reporter)
    compared = [row for candidate in candidates for row in _rows(baseline, candidate, reporter)]
    inputs = {
        f"{role} {measured.name}": getattr(measured, role).sha256
        for measured in opened
        for role in ("golden", "injections", "vulnerability")
    }
    facts = {"baseline": baseline.name, "candidates": [candidate.name for candidate in candidates]}
    store.write(
        path,
        COMPARISON,
        {name: [row[name] for row in compared] for name in COMPARISON.arrow.names},
        store.provenance_for(COMPARISON, config=facts, classes=baseline.golden.provenance.classes, inputs=inputs),
    )
    return Result(path, compared)


def rows(baseline: RunFolder, candidates: Sequence[RunFolder], reporter: Reporter = SILENT) -> list[dict[str, Any]]:
    """Return the rows of `comparison`, unwritten; no more than two runs are in memory at a time."""
    first = _open(baseline)
    _note_choices(first, first, reporter)
    found = []
    for folder in candidates:
        candidate = _open(folder)
        _refuse(first, candidate)
        _note_choices(candidate, first, reporter)
        found += _rows(first, candidate, reporter)
    return found


def _refuse(baseline: _Run, candidate: _Run) -> None:
    """Raise TgrError where two runs were measured on other images, or struck at other kinds of places."""
    runs.refuse_other_images(baseline.golden, candidate.golden)
    if candidate.target != baseline.target:
        raise TgrError(
            f"{candidate.name} was injected with --target {candidate.target}, {baseline.name} with "
            f'{baseline.target}, which no factor compares; run "tgr inject" on both with one --target'
        )


def _rows(baseline: _Run, candidate: _Run, reporter: Reporter) -> list[dict[str, Any]]:
    found = []
    common = np.intersect1d(baseline.correct_ids, candidate.correct_ids)
    for images, ids in (("own", None), ("common", common)):
        before, after = _figures(baseline, ids), _figures(candidate, ids)
        if before is None or after is None:
            reporter.note(
                f"{candidate.name} is not compared on common images: some site was struck on none of the "
                f"{len(common)} images that it and {baseline.name} both get right"
            )
            continue
        found.append(_row(baseline, candidate, images, before, after))
    return found


def _open(folder: RunFolder) -> _Run:
    _, golden = runs.read_golden(folder.golden)
    injections = store.read(folder.injections, INJECTIONS)
    vulnerability = store.read(folder.vulnerability, VULNERABILITY)
    for artifact in (injections, vulnerability):
        runs.refuse_other_model(golden, artifact)
    if vulnerability.provenance.inputs.get("injections") != injections.sha256:
        raise TgrError(f'{vulnerability.path} was not made from {injections.path}; run "tgr inject" again')
    rows = vulnerability.table.to_pylist()
    name = folder.path.resolve().name
    return _Run(
        name, golden, injections, vulnerability, rows, results.read(injections.table, injections.provenance.config)
    )


def _note_choices(measured: _Run, baseline: _Run, reporter: Reporter) -> None:
    if measured.limit == "none":
        reporter.note(
            f"{measured.name} was injected without a range limit, where a few faults carry the mean dLoss: its factors "
            "rest on medians and SDC rates only"
        )
    for option, name in CHOICES.items():
        ours, theirs = (run.injections.provenance.config.get(name) for run in (measured, baseline))
        if ours != theirs:
            reporter.note(f"{measured.name} was injected with {option} {ours}, {baseline.name} with {theirs}")
    missing = set(measured.last) - {row["site"] for row in measured.rows}
    if missing or not measured.last:
        where = ", ".join(sorted(missing)) or "its last layer (see --targets)"
        reporter.note(f"{measured.name} has no fault at {where}, so no figure of its last layer")
    if measured.injections.provenance.config.get("sampling") == "list":
        reporter.note(
            f"{measured.name} was injected from a list of faults: its figures describe that list, not the model"
        )


def _figures(measured: _Run, image_ids: np.ndarray | None) -> _Figures | None:
    """Return a run's figures on its own images, or on those of these ids; None where a site was struck on none."""
    shown = runs.correct(measured.golden)
    top2diff_N = measured.golden.column("top2diff")
    if image_ids is None:
        return _Figures(measured.rows, measured.faults, top2diff_N[shown])
    faults = measured.faults.where(np.isin(measured.faults.image_id, image_ids))
    if not {row["site"] for row in measured.rows} <= set(faults.site):
        return None
    return _Figures(measured.rows, faults, top2diff_N[np.isin(measured.golden.column("image_id"), image_ids)])


def _row(baseline: _Run, candidate: _Run, images: str, before: _Figures, after: _Figures) -> dict[str, Any]:
    sides = ((baseline, before), (candidate, after))
    divided, by = (improvement.figures(figures.rows, figures.faults, measured.last) for measured, figures in sides)
    factors = improvement.improvement(divided, by)
    if "none" in (baseline.limit, candidate.limit):
        factors |= dict.fromkeys(improvement.MEANS, NO_ESTIMATE)
    row: dict[str, Any] = {
        "baseline": baseline.name,
        "candidate": candidate.name,
        "images": images,
        "params_delta": _params(candidate) - _params(baseline),
        "macs_delta": _macs(candidate) - _macs(baseline),
    }
    for name, factor in factors.items():
        limits = {name: factor.mean, f"{name}_low": factor.low, f"{name}_high": factor.high}
        row |= {column: None if np.isnan(value) else value for column, value in limits.items()}
        row |= {f"{name}_reliable": factor.reliable, f"{name}_verdict": verdict.on_factor(factor)}
        row |= dict.fromkeys((f"{name}_settled_by_faults", f"{name}_settled_by_images"))
        if row[f"{name}_verdict"] == verdict.NOT_DISTINGUISHABLE:
            row |= _settled(name, divided[name], by[name], (baseline, candidate))
    right = [measured.right_by_id for measured in (baseline, candidate)]
    row["only_baseline_correct"], row["only_candidate_correct"], row["accuracy_p"] = test = mcnemar(*right)
    row["accuracy_verdict"] = verdict.on_accuracy(*test)
    for side, (measured, figures) in zip(("baseline", "candidate"), sides, strict=True):
        row |= {
            f"accuracy_{side}": float(runs.correct(measured.golden).mean()),
            f"top2diff_{side}": figures.mean_top2diff,
            f"correct_{side}": len(figures.top2diff_N),
            f"faults_{side}": len(figures.faults),
            f"sdc_{side}": figures.outcomes("sdc"),
            f"non_finite_{side}": figures.outcomes("non_finite"),
        }
    return row


def _settled(name: str, divided: Figure, by: Figure, measured: tuple[_Run, _Run]) -> dict[str, int]:
    """Return the column that says how many faults a site, or else images, would settle this figure, if any would."""
    in_tensors = measured[0].target != "neuron"
    found = settling(divided, by, faults_are_clusters=in_tensors)
    if found is None:
        return {}
    now = max(run.faults_a_site if found.more == "faults" else run.clusters for run in measured)
    return {f"{name}_settled_by_{found.more}": _rounded_up(found.times * now)}


def _rounded_up(value: float) -> int:
    """Return the next larger whole number of at most two significant digits: a forecast knows no more."""
    unit = 10 ** max(math.floor(math.log10(value)) - 1, 0)
    return math.ceil(value / unit) * unit


def _params(measured: _Run) -> int:
    return int(measured.golden.provenance.extra["params"])


def _macs(measured: _Run) -> int:
    return int(measured.vulnerability.provenance.extra["macs"])
