"""Read a campaign without tgr, and compute its intervals again.

    python examples/recompute_intervals.py runs/digits/digits_cnn-baseline [runs/digits/ANOTHER]

An artifact is a Parquet file; what it says of itself is JSON under the metadata key `tgr`. The formulas are those of
docs/faults.md, section "Computing an interval", step by step. Nothing of tgr is imported: pyarrow reads the file,
numpy and scipy do the rest.

Suffixes: N rows of faults, C clusters.
"""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from scipy import stats


class Interval(NamedTuple):
    """A figure with its limits, and how many equal contributions it rests on: below 30, tgr marks it with `~`."""

    value: float
    low: float
    high: float
    effective: float


@dataclass(frozen=True)
class Rows:
    """The columns of `injections` that a figure rests on, each [N]; dLoss is 0 where the outcome is non_finite."""

    site: np.ndarray
    cluster: np.ndarray
    stratum: np.ndarray
    weight: np.ndarray
    image_excess: np.ndarray
    sdc: np.ndarray
    non_finite: np.ndarray
    dloss: np.ndarray

    def of(self, sites: Mapping[str, float]) -> "Rows":
        """Return the rows of sites whose coefficient is not 0."""
        kept = np.array([sites.get(name, 0.0) != 0 for name in self.site], bool)
        return Rows(**{name: column[kept] for name, column in vars(self).items()})

    def per(self, *columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the group of each row by these columns, as numbers from 0, and how many rows its group has; [N]."""
        group = np.zeros(len(self.site), np.int64)
        for column in columns:
            places = np.unique(column, return_inverse=True)[1]
            group = np.unique(group * (places.max() + 1) + places, return_inverse=True)[1]
        return group, np.bincount(group)[group]


def read(path: Path) -> tuple[Rows, Mapping[str, Any]]:
    """Return the rows of an `injections` artifact, and the settings of its campaign."""
    table = pq.read_table(path)
    settings = json.loads(table.schema.metadata[b"tgr"])["config"]
    column = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names if name != "index"}
    fault = np.array([f"{site} {number}" for site, number in zip(column["site"], column["fault"], strict=True)])
    non_finite = column["outcome"] == "non_finite"
    rows = Rows(
        site=column["site"],
        cluster=fault if settings["lasting"] else column["image_id"],
        stratum=column["bit"] if settings["sampling"] == "stratified" else np.zeros(len(fault), np.int64),
        weight=column["weight"],
        image_excess=column["image_excess"],
        sdc=(column["outcome"] == "sdc").astype(float),
        non_finite=non_finite.astype(float),
        dloss=np.where(non_finite, 0.0, column["dloss"].astype(float)),
    )
    return rows, settings


def site_means(rows: Rows, x_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return steps 1 and 2 for each row: its site's mean of w · x, its own part of that mean, its part of the error."""
    wx_N = rows.weight * x_N
    site_N, rows_of_site_N = rows.per(rows.site)
    mean_N = (np.bincount(site_N, wx_N) / np.bincount(site_N))[site_N]
    stratum_N, rows_of_stratum_N = rows.per(rows.site, rows.stratum)
    centre_N = (np.bincount(stratum_N, wx_N) / np.bincount(stratum_N))[stratum_N]
    error_N = wx_N - centre_N + centre_N * rows.image_excess * rows_of_site_N / rows.per(rows.site, rows.cluster)[1]
    if rows.stratum.any():
        error_N *= np.sqrt(rows_of_stratum_N / np.maximum(rows_of_stratum_N - 1, 1))
    return mean_N, wx_N / rows_of_site_N, error_N / rows_of_site_N


def by_cluster(cluster_N: np.ndarray, values_N: np.ndarray) -> np.ndarray:
    """Return the values added up over the rows of each cluster, [C]."""
    return np.bincount(np.unique(cluster_N, return_inverse=True)[1], values_N)


def effective(parts: np.ndarray) -> float:
    """Return how many equal contributions these are worth."""
    return float(np.abs(parts).sum() ** 2 / (parts**2).sum()) if parts.any() else 0.0


def dloss_parts(rows: Rows, coefficient: Mapping[str, float]) -> tuple[float, np.ndarray, np.ndarray]:
    """Return Σ coefficient × mean dLoss over sites, and each row's part of it and of its error, by step 3."""
    a_N = np.array([coefficient[name] for name in rows.site])
    over_N, part_N, error_N = site_means(rows, rows.dloss)
    lost_N, _, lost_error_N = site_means(rows, rows.non_finite)
    mean_N = over_N / (1 - lost_N)
    value = sum(a * float(mean_N[rows.site == site][0]) for site, a in coefficient.items() if a)
    return value, a_N * part_N / (1 - lost_N), a_N * (error_N + mean_N * lost_error_N) / (1 - lost_N)


def skewed_limits(value: float, error_C: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the limits of step 4; NaN where there is one cluster."""
    clusters, squares = len(error_C), float((error_C**2).sum())
    if clusters < 2:
        return math.nan, math.nan
    if squares == 0:
        return value, value
    h = math.sqrt(clusters / (clusters - 1) * squares)
    skewness = float((error_C**3).sum()) / squares**1.5
    q = float(stats.t.ppf((1 + confidence) / 2, clusters - 1))
    furthest = q + abs(skewness) * (2 * q**2 + 1) / 3

    def g(x: float) -> float:
        return 3 / skewness * (float(np.cbrt(1 + skewness * (x - skewness / 6))) - 1) if abs(skewness) >= 1e-6 else x

    return value - h * min(g(q), furthest), value - h * max(g(-q), -furthest)


def mean_dloss(rows: Rows, coefficient: Mapping[str, float], confidence: float) -> Interval:
    """Return Σ coefficient × mean dLoss over sites, by steps 3 and 4."""
    rows = rows.of(coefficient)
    value, part_N, error_N = dloss_parts(rows, coefficient)
    low, high = skewed_limits(value, by_cluster(rows.cluster, error_N), confidence)
    return Interval(value, max(low, 0.0), high, effective(by_cluster(rows.cluster, part_N)))


def improvement(baseline: Rows, candidate: Rows, confidence: float) -> Interval:
    """Return the mean dLoss over the baseline's sites, over that of the candidate's, by step 7; both are above 0."""
    values, errors, contributions = [], [], []
    for rows, sign in ((baseline, 1), (candidate, -1)):
        names = np.unique(rows.site).tolist()
        value, part_N, error_N = dloss_parts(rows, dict.fromkeys(names, 1 / len(names)))
        values.append(value)
        errors.append(sign * error_N / value)
        contributions.append(effective(by_cluster(rows.cluster, part_N)))
    clusters = np.concatenate([baseline.cluster, candidate.cluster])
    error_C = by_cluster(clusters, np.concatenate(errors))
    low, high = skewed_limits(math.log(values[0] / values[1]), error_C, confidence)
    return Interval(values[0] / values[1], math.exp(low), math.exp(high), min(contributions))


def sdc_rate(rows: Rows, coefficient: Mapping[str, float], confidence: float) -> Interval:
    """Return Σ coefficient × SDC rate over sites, by steps 3 and 5; the coefficients add up to 1."""
    rows = rows.of(coefficient)
    a_N = np.array([coefficient[name] for name in rows.site])
    _, part_N, error_N = site_means(rows, rows.sdc)
    hit_N, size_N = a_N * part_N, a_N * rows.weight / rows.per(rows.site)[1]
    error_C = by_cluster(rows.cluster, a_N * error_N)
    p = min(float(hit_N.sum()), 1.0)
    clusters, typical = len(error_C), float((size_N**2).sum() / size_N.sum())
    equal_N = a_N / rows.per(rows.site)[1]
    one_fault = typical if p else float((equal_N**2).sum() / equal_N.sum())
    if clusters > 1 and 0 < p < 1:
        variance = clusters / (clusters - 1) * float((error_C**2).sum())
        one_fault = max(variance / (p * (1 - p)), float((hit_N**2).sum() / hit_N.sum()))
        one_fault += max(typical - one_fault, 0.0) / (effective(hit_N) + 1) ** 2
    n = 1.0
    if clusters > 1:
        level = (1 + confidence) / 2
        n = max((stats.t.ppf(level, len(hit_N) - 1) / stats.t.ppf(level, clusters - 1)) ** 2 / one_fault, 1.0)
    z = float(stats.norm.ppf((1 + confidence) / 2))
    centre, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = (max(0.0, min(1.0, (centre + side * half) / (1 + z**2 / n))) for side in (-1, 1))
    return Interval(p, low, high, effective(by_cluster(rows.cluster, hit_N)))


def main(folder: Path, candidate: Path | None = None) -> None:
    """Print each site's intervals beside those that tgr wrote, the network's, and the improvement of a candidate."""
    rows, settings = read(folder / "injections.parquet")
    sites = pq.read_table(folder / "vulnerability.parquet").to_pylist()
    for row in sites:
        alone = {row["site"]: 1.0}
        for name, found in (("sdc_rate", sdc_rate), ("mean_dloss", mean_dloss)):
            value, low, high, _ = found(rows, alone, settings["confidence"])
            stored = f"{row[name]:.6g} ({row[f'{name}_low']:.6g} to {row[f'{name}_high']:.6g})"
            print(f"{row['site']:12} {name:10}  {value:.6g} ({low:.6g} to {high:.6g})  stored: {stored}")
    alike = {row["site"]: 1 / len(sites) for row in sites}
    for name, found in (("sdc_rate", sdc_rate), ("mean_dloss", mean_dloss)):
        value, low, high, carried = found(rows, alike, settings["confidence"])
        print(f"{'network':12} {name:10}  {value:.6g} ({low:.6g} to {high:.6g})  {carried:.0f} effective contributions")
    if candidate:
        value, low, high, _ = improvement(rows, read(candidate / "injections.parquet")[0], settings["confidence"])
        print(f"improvement, mean over sites (overall in comparison.parquet)  {value:.6g} ({low:.6g} to {high:.6g})")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
