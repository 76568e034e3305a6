"""Outcomes of a campaign broken down by bit, field of the number format, and image, with equal weight for every site.

Each row is weighted by its importance weight / number of rows at its site. Unweighted counts would reflect the sampling
distribution rather than the effect of the faults.

Suffixes: N rows of `injections`, K some of them, I images.

Sources: D. G. Bonett and T. A. Wright, "Sample size requirements for estimating Pearson, Kendall and Spearman
correlations", Psychometrika 65 (2000), the interval of Spearman's coefficient.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from scipy import special

from tgr_cli.defaults import CONFIDENCE
from tgr_cli.metrics.intervals import score_interval
from tgr_cli.metrics.outcomes import OUTCOMES

CONFIDENCES = ("golden_top1", "faulty_top1", "golden_top2diff", "faulty_top2diff")
COLUMNS = ("fault", "site", "bit", "image_id", "weight", "image_weight", "image_excess", *CONFIDENCES, "outcome")
FAILURES = ("sdc", "non_finite")
NO_BIT = -1  # the bit of a fault that strikes no single one


@dataclass(frozen=True)
class FaultRows:
    """Rows of `injections` as numeric arrays [N], the input of breakdowns.

    `site`, `image` and `outcome` are indices into `sites`, `images` and OUTCOMES. `cluster` and `stratum` are as in
    `summary.FaultColumns`. Nulls of the faulty inference are NaN.
    """

    sites: list[str]
    images: list[str]
    site: np.ndarray
    image: np.ndarray
    cluster: np.ndarray
    bit: np.ndarray
    stratum: np.ndarray
    weight: np.ndarray
    image_weight: np.ndarray
    image_excess: np.ndarray
    golden_top1: np.ndarray
    faulty_top1: np.ndarray
    golden_top2diff: np.ndarray
    faulty_top2diff: np.ndarray
    outcome: np.ndarray

    @classmethod
    def read(
        cls,
        injections: pa.Table,
        clusters: Literal["image", "fault"] = "image",
        strata: Literal["none", "bit"] = "none",
    ) -> "FaultRows":
        """Return the rows of a table with COLUMNS; `clusters` and `strata` choose what forms one of them."""
        site_N, sites = _numbered(injections["site"])
        image_N, images = _numbered(injections["image_id"])
        outcome_N, outcomes = _numbered(injections["outcome"])
        alike_N = image_N if clusters == "image" else site_N.astype(np.int64) << 32 | injections["fault"].to_numpy()
        plain = {
            name: injections[name].to_numpy()
            for name in ("bit", "weight", "image_weight", "image_excess", *CONFIDENCES)
        }
        place_O = np.array([OUTCOMES.index(name) for name in outcomes], np.int64)
        return cls(
            sites=sites,
            images=images,
            site=site_N,
            image=image_N,
            cluster=alike_N,
            stratum=plain["bit"] if strata == "bit" else np.zeros(len(site_N), np.int64),
            outcome=place_O[outcome_N],
            **plain,
        )

    @property
    def alike(self) -> np.ndarray:
        """Return 1 / number of rows at the row's site, [N], which gives all sites equal total weight."""
        return 1 / np.bincount(self.site)[self.site]

    def __len__(self) -> int:
        return len(self.site)


class ByImage(NamedTuple):
    """For every image with faults: name, Top2Diff of the golden run, number of rows, estimated SDC rate; arrays [I]."""

    image_id: list[str]
    top2diff: np.ndarray
    rows: np.ndarray
    sdc_rate: np.ndarray


class Correlation(NamedTuple):
    """Spearman's coefficient over `images`, with its interval; all NaN if either variable is constant."""

    coefficient: float
    low: float
    high: float
    images: int


def by_bit(struck: FaultRows, confidence: float = CONFIDENCE) -> list[dict[str, Any]]:
    """Return, for each struck bit, its rows, the share of every outcome, and failures with their interval.

    Rows without a bit (-1) belong to none. The shares of a bit add up to 1. `sdc` and `failure` (sdc or non_finite)
    have a score interval with the same clusters. It treats differences between sites as sampling variation, and is
    therefore slightly conservative.
    """
    bits = np.unique(struck.bit[struck.bit != NO_BIT]).tolist()
    return [{"bit": bit} | _shares(struck, struck.bit == bit, confidence) for bit in bits]


def by_field(
    struck: FaultRows, fields: Mapping[str, Sequence[int]], confidence: float = CONFIDENCE
) -> list[dict[str, Any]]:
    """Return the same for each field of a number format, by its lowest and highest bit; fields without rows are absent.

    A bit counts in proportion to its faults in the population: all bits of a field alike where any bit may flip.
    """
    rows = []
    for name, (low, high) in fields.items():
        chosen_N = (struck.bit >= low) & (struck.bit <= high)
        if chosen_N.any():
            rows.append({"field": name, "low": low, "high": high} | _shares(struck, chosen_N, confidence))
    return rows


def by_struck_field(struck: FaultRows, field_N: np.ndarray, confidence: float = CONFIDENCE) -> list[dict[str, Any]]:
    """Return the same by the field that each row's bit was in, "" for none; bits are the lowest and highest struck."""
    rows = []
    for name in sorted({*field_N.tolist()} - {""}):
        chosen_N = field_N == name
        bit_K = struck.bit[chosen_N]
        ends = {"low": int(bit_K.min()), "high": int(bit_K.max())}
        rows.append({"field": name, **ends} | _shares(struck, chosen_N, confidence))
    return sorted(rows, key=lambda row: -row["high"])


def _shares(struck: FaultRows, chosen_N: np.ndarray, confidence: float) -> dict[str, Any]:
    """Return the number of chosen rows, their share of every outcome, and the limits of `sdc` and `failure`."""
    equal_K = struck.alike[chosen_N] / struck.alike[chosen_N].sum()
    size_K = (struck.weight * struck.alike)[chosen_N]
    size_K, outcome_K = size_K / size_K.sum(), struck.outcome[chosen_N]
    shares = np.bincount(outcome_K, size_K, minlength=len(OUTCOMES)).tolist()
    row: dict[str, Any] = {"rows": len(outcome_K), **dict(zip(OUTCOMES, shares, strict=True))}
    row["failure"] = sum(row[name] for name in FAILURES)
    cluster_K = np.unique(struck.cluster[chosen_N], return_inverse=True)[1]
    for name, counted in (("sdc", ("sdc",)), ("failure", FAILURES)):
        hit_K = np.isin(outcome_K, [OUTCOMES.index(outcome) for outcome in counted])
        error_C = np.bincount(cluster_K, (hit_K - row[name]) * size_K)
        limits = score_interval(row[name], error_C, hit_K * size_K, size_K, confidence, equal_N=equal_K)
        row |= {f"{name}_low": limits.low, f"{name}_high": limits.high}
    return row


def by_image(struck: FaultRows) -> ByImage:
    """Return every image's SDC rate, Σ weight × alike × sdc / Σ alike, with the weight within the image.

    This is the estimate of Hansen and Hurwitz within each site.

    The estimate is unbiased; for an image with few weighted faults it may exceed 1 by chance.
    """
    alike_N = struck.alike
    hit_N = (struck.outcome == OUTCOMES.index("sdc")) * struck.weight / struck.image_weight * alike_N
    top2diff_I = np.zeros(len(struck.images))
    top2diff_I[struck.image] = struck.golden_top2diff
    rate_I = np.bincount(struck.image, hit_N) / np.bincount(struck.image, alike_N)
    return ByImage(struck.images, top2diff_I, np.bincount(struck.image), rate_I)


def spearman(x_I: np.ndarray, y_I: np.ndarray, confidence: float = CONFIDENCE) -> Correlation:
    """Return Spearman's rank correlation with the interval of Bonett and Wright (2000); it needs four images."""
    from scipy import stats  # imported here: it takes a second to load, and few commands need it

    images = len(x_I)
    if images < 4 or np.ptp(x_I) == 0 or np.ptp(y_I) == 0:
        return Correlation(math.nan, math.nan, math.nan, images)
    coefficient = float(stats.spearmanr(x_I, y_I).statistic)
    if abs(coefficient) >= 1:
        return Correlation(coefficient, coefficient, coefficient, images)
    half = special.ndtri(0.5 + confidence / 2) * math.sqrt((1 + coefficient**2 / 2) / (images - 3))
    low, high = (math.tanh(math.atanh(coefficient) + side * half) for side in (-1, 1))
    return Correlation(coefficient, low, high, images)


def _numbered(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """Return a column of names as integer codes, and the names in the order of their codes."""
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
