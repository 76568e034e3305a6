"""What the report knows of one run: its artifacts, and what its faults come to, read once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tgr_cli.artifacts.store import Artifact
from tgr_cli.metrics import top2diff
from tgr_cli.metrics.breakdown import ByImage, Correlation, Struck, by_bit, by_image, spearman
from tgr_cli.metrics.summary import Network
from tgr_cli.report.words import SPACE, listed

SAMPLINGS = {"list": "a list of faults"}
TOGETHER = 4  # models that one plot can show; of more, each is shown beside the first
DELTAS = np.array([*top2diff.thresholds(0.0, 0.99, 0.01), 0.995, 0.999, 0.9999, 0.99999, 1.0])
TO_COVER = 0.9  # share of SDCs at which the cost of re-running is quoted (ISSRE 2021, figure 8)


@dataclass(frozen=True)
class Covered:
    """Of thresholds DELTAS on Top2Diff: SDCs below them, seen with the fault or without; None where none was an SDC."""

    faulty: Sequence[float | None]
    golden: Sequence[float | None]


@dataclass(frozen=True)
class Faults:
    """What the rows of `injections` come to, the rows themselves let go."""

    rows: int
    bits: list[dict[str, Any]]
    images: ByImage
    correlation: Correlation
    covered: Covered

    @classmethod
    def of(cls, struck: Struck, confidence: float) -> "Faults":
        images = by_image(struck)
        coverage = [
            top2diff.sdc_coverage(struck.site, struck.names, struck.weight, seen_N, DELTAS)
            for seen_N in (struck.faulty_top2diff, struck.golden_top2diff)
        ]
        plain = [[None if np.isnan(share) else share for share in shares.tolist()] for shares in coverage]
        return cls(
            rows=len(struck),
            bits=by_bit(struck, confidence),
            images=images,
            correlation=spearman(images.top2diff, images.sdc_rate, confidence),
            covered=Covered(*plain),
        )


@dataclass(frozen=True, eq=False)
class Run:
    """One run: the artifacts there are of it. `vulnerability`, `faults` and `network` stand and
    fall together."""

    name: str
    golden: Artifact | None = None
    ranges: Artifact | None = None
    training: Artifact | None = None
    vulnerability: Artifact | None = None
    faults: Faults | None = None
    network: Network | None = None

    @property
    def campaign(self) -> Mapping[str, Any]:
        """Return the settings of its campaign, empty without one."""
        return self.vulnerability.provenance.config if self.vulnerability else {}

    @property
    def confidence(self) -> float:
        return float(self.campaign.get("confidence", 0.99))

    @property
    def limited(self) -> bool:
        """Return whether struck values were held to a range; else a handful of faults carry every mean dLoss."""
        return self.campaign.get("limit") != "none"

    @cached_property
    def sites(self) -> list[dict[str, Any]]:
        """Return its rows of `vulnerability`, in execution order."""
        return self.vulnerability.table.to_pylist() if self.vulnerability else []

    @property
    def correct(self) -> np.ndarray:
        """Return which images it classifies correctly without a fault."""
        assert self.golden is not None
        return self.golden.column("prediction") == self.golden.column("label")


def charts(runs: Sequence[Run]) -> Iterator[tuple[Run, ...]]:
    """Give the runs that one plot shows together: all of a few, else the first with each other."""
    if len(runs) <= TOGETHER:
        yield tuple(runs)
        return
    for other in runs[1:]:
        yield runs[0], other


def across(plotted: Iterable[tuple[Any, tuple[Run, ...]]]) -> int | None:
    """Return how many panels make a row so that each shows one quantity, of plots of a quantity and some runs."""
    groups = len({group for _, group in plotted})
    return groups if 2 <= groups <= 3 else None


def basis(runs: Sequence[Run], *, intervals: bool = True) -> str:
    """Return the sentence that says what figures of these injected runs rest on, and their `intervals` if any."""
    faults = [run.faults for run in runs if run.faults]
    samplings = listed(list(dict.fromkeys(SAMPLINGS.get(s, f"{s} sampling") for s in _settings(runs, "sampling"))))
    levels = listed([f"{100 * level:g}{SPACE}%" for level in sorted({run.confidence for run in runs})])
    in_tensors = any(target != "neuron" for target in _settings(runs, "target"))
    return (
        f"{_span([each.rows for each in faults])} {'rows of faults' if in_tensors else 'faults'} a model on "
        f"{_span([len(each.images.image_id) for each in faults])} images, {samplings}"
        + (f"; intervals at {levels}, clustered by {'fault' if in_tensors else 'image'}." if intervals else ".")
    )


def _settings(runs: Sequence[Run], name: str) -> list[str]:
    return [str(run.campaign.get(name, "neuron" if name == "target" else "")) for run in runs]


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def alone(chart: Sequence[Run]) -> str:
    """Return the name of the one run a plot shows, empty where it shows several, which its legend names."""
    return chart[0].name if len(chart) == 1 else ""


def key(*parts: str) -> str:
    """Return a key made of these parts, fit for identifiers and file names."""
    return "-".join("".join(c if c.isalnum() and c.isascii() else "_" for c in part) for part in parts)
