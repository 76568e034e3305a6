"""The rows of `comparison`: a candidate against a baseline, each on its own images and on their common images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import RunFolder
from tgr_cli.artifacts.provenance import sha256_file
from tgr_cli.artifacts.schemas import COMPARISON
from tgr_cli.campaign import runs
from tgr_cli.campaign.measured import Measured, differences, note_figures, open_run
from tgr_cli.metrics import improvement, summary, verdict
from tgr_cli.metrics.estimates import NO_ESTIMATE, LinearisedEstimate, among
from tgr_cli.metrics.mcnemar import mcnemar
from tgr_cli.metrics.settling import settling
from tgr_cli.reporting import SILENT, Reporter


@dataclass(frozen=True)
class _Figures:
    """A run restricted to some images: its sites' facts, their faults, and Top2Diff of correctly classified images."""

    rows: list[dict[str, Any]]
    faults: summary.FaultColumns
    top2diff_N: np.ndarray

    def outcomes(self, outcome: str) -> int:
        return int((self.faults.outcome == outcome).sum())

    @property
    def mean_top2diff(self) -> float | None:
        return float(self.top2diff_N.mean()) if len(self.top2diff_N) else None


def of_folders(
    baseline: RunFolder, candidates: Sequence[RunFolder], allowed: Sequence[str] = (), reporter: Reporter = SILENT
) -> list[dict[str, Any]]:
    """Return the rows of `comparison` without writing them; at most two runs are in memory at a time.

    Candidates with a refused difference from the baseline are skipped.
    """
    first = open_run(baseline)
    note_figures(first, reporter)
    found = []
    for folder in candidates:
        candidate = open_run(folder)
        if any(difference.refused for difference in differences(first, candidate, allowed)):
            continue
        note_figures(candidate, reporter)
        found += rows(first, candidate, reporter)
    return found


def rows(baseline: Measured, candidate: Measured, reporter: Reporter) -> list[dict[str, Any]]:
    """Return the rows of one candidate: on its own images, and on those that both models classify correctly."""
    found = []
    common = np.intersect1d(baseline.correct_ids, candidate.correct_ids)
    for images, ids in (("own", None), ("common", common)):
        before, after = _figures(baseline, ids), _figures(candidate, ids)
        if before is None or after is None:
            reporter.note(
                f"{candidate.name} is not compared on common images: some site has no fault on any of the "
                f"{len(common)} images that it and {baseline.name} both get right"
            )
            continue
        found.append(_row(baseline, candidate, images, before, after))
    return found


def _figures(measured: Measured, image_ids: np.ndarray | None) -> _Figures | None:
    """Return a run restricted to `image_ids` (None: all its images); None if a site has no faults in them.

    In a subset of images the number of faults per stratum is random, so the strata are merged.
    """
    shown = runs.correct(measured.golden)
    top2diff_N = measured.golden.column("top2diff")
    if image_ids is None:
        return _Figures(measured.rows, measured.faults, top2diff_N[shown])
    faults = measured.faults.where(among(measured.faults.image_id, image_ids))
    faults = replace(faults, stratum=np.zeros_like(faults.stratum))
    if not {row["site"] for row in measured.rows} <= set(faults.site):
        return None
    return _Figures(measured.rows, faults, top2diff_N[among(measured.golden.column("image_id"), image_ids)])


def _row(baseline: Measured, candidate: Measured, images: str, before: _Figures, after: _Figures) -> dict[str, Any]:
    sides = ((baseline, before), (candidate, after))
    divided, by = (improvement.figures(figures.rows, figures.faults, measured.last) for measured, figures in sides)
    factors = improvement.improvement(divided, by)
    if "none" in (baseline.limit, candidate.limit):
        factors |= dict.fromkeys(improvement.MEANS, NO_ESTIMATE)
    row: dict[str, Any] = {
        "baseline": baseline.name,
        "candidate": candidate.name,
        "images": images,
        "params_delta": candidate.params - baseline.params,
        "macs_delta": candidate.macs - baseline.macs,
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


def _settled(
    name: str, divided: LinearisedEstimate, by: LinearisedEstimate, measured: tuple[Measured, Measured]
) -> dict[str, int]:
    """Return the column with the number of faults per site, or of images, that would resolve a factor, if any."""
    found = settling(divided, by, faults_are_clusters=measured[0].lasting)
    if found is None:
        return {}
    now = max(run.faults_a_site if found.more == "faults" else run.clusters for run in measured)
    return {f"{name}_settled_by_{found.more}": _rounded_up(found.times * now)}


def _rounded_up(value: float) -> int:
    """Return the value rounded up to two significant digits, about the precision of the forecast."""
    unit = 10 ** max(math.floor(math.log10(value)) - 1, 0)
    return math.ceil(value / unit) * unit


def stored(path: Path, folders: Sequence[RunFolder]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of the stored comparison if made from exactly these artifacts, and its allowed differences.

    Otherwise both are empty.
    """
    if not path.exists():
        return [], []
    schema, provenance, _ = store.describe(path)
    baseline, *candidates = (folder.called for folder in folders)
    inputs = {
        f"{role} {folder.called}": sha256_file(getattr(folder, role))
        for folder in folders
        for role in ("golden", "injections", "vulnerability")
    }
    made_here = schema == COMPARISON and provenance.version == COMPARISON.version
    if (
        not made_here
        or provenance.config.get("baseline") != baseline
        or not inputs.items() <= provenance.inputs.items()
    ):
        return [], []
    rows = store.read(path, COMPARISON).table.to_pylist()
    allowed = provenance.config.get("allow_different", [])
    return [row for name in candidates for row in rows if row["candidate"] == name], allowed
