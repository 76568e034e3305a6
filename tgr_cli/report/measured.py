"""The report's data on one run: its artifacts, and statistics of its faults, read once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tgr_cli.artifacts.facts import lasting
from tgr_cli.artifacts.fault_facts import faults_in_words
from tgr_cli.artifacts.provenance import Provenance
from tgr_cli.artifacts.store import Artifact
from tgr_cli.metrics import rerunning
from tgr_cli.metrics.breakdown import (
    NO_BIT,
    ByImage,
    Correlation,
    FaultRows,
    by_bit,
    by_field,
    by_image,
    by_struck_field,
    spearman,
)
from tgr_cli.metrics.curves import Curve, GoldenConfidences, Injected
from tgr_cli.metrics.feature_maps import MapStudy
from tgr_cli.metrics.intervals import Estimate
from tgr_cli.metrics.population import Population
from tgr_cli.metrics.rerunning import AtTarget
from tgr_cli.metrics.summary import NetworkEstimates
from tgr_cli.report.words import SPACE, listed

SAMPLINGS = {"list": "a list of faults"}
TOGETHER = 4  # maximum number of models in a plot; of more, each is plotted with the first
# The sweep's thresholds, and some close to 1, for networks with very high confidences.
THRESHOLDS = np.array([*rerunning.THRESHOLDS[:-1], 0.995, 0.999, 0.9999, 0.99999, 1.0])


@dataclass(frozen=True)
class Rerun:
    """Re-running by each criterion at THRESHOLDS, and the cost of catching TARGET_COVERAGE of the SDCs, as in `sweep`.

    `images` is the number of injected images with a doubtful golden prediction, `doubtful` their SDC rate.
    """

    population: Population
    curves: Mapping[str, Curve]
    costs: Mapping[str, AtTarget]
    images: int
    doubtful: Estimate

    @classmethod
    def of(cls, golden: GoldenConfidences, injected: Injected, confidence: float) -> "Rerun":
        curves, costs = dict[str, Curve](), dict[str, AtTarget]()
        for name in rerunning.CRITERIA:
            curves[name] = Curve.of(name, golden, injected, THRESHOLDS, confidence)
            costs[name] = curves[name].only(rerunning.THRESHOLDS).at()
        return cls(injected.population, curves, costs, *injected.doubtful(golden, confidence))


@dataclass(frozen=True)
class FaultBreakdown:
    """Statistics of the rows of `injections`, without the rows themselves.

    `form` describes the number format of the struck words, as artifacts record it, with the fields from the most
    significant on; `without_bit` counts the rows of faults that strike no single bit, which `bits` and `fields` lack.
    """

    rows: int
    form: Mapping[str, Any]
    without_bit: int
    bits: list[dict[str, Any]]
    fields: list[dict[str, Any]]
    images: ByImage
    correlation: Correlation

    @classmethod
    def of(
        cls, struck: FaultRows, form: Mapping[str, Any], confidence: float, field_N: np.ndarray | None = None
    ) -> "FaultBreakdown":
        """Return the statistics; `field_N` names each row's field where fields differ from word to word."""
        images = by_image(struck)
        fields = sorted(form["fields"].items(), key=lambda field: -field[1][1])  # metadata sorts them by name
        form = {**form, "fields": dict(fields)}
        return cls(
            rows=len(struck),
            form=form,
            without_bit=int((struck.bit == NO_BIT).sum()),
            fields=by_field(struck, form["fields"], confidence)
            if field_N is None
            else by_struck_field(struck, field_N, confidence),
            bits=by_bit(struck, confidence),
            images=images,
            correlation=spearman(images.top2diff, images.sdc_rate, confidence),
        )


@dataclass(frozen=True, eq=False)
class Run:
    """One run: its artifacts, None if missing.

    `vulnerability`, `faults` and `network` exist together; `rerun` also needs `golden`, and `maps` a campaign over
    feature maps. `folder` is the name of the run folder, which a model as it is and its deployments in number formats
    share.
    """

    name: str
    golden: Artifact | None = None
    ranges: Artifact | None = None
    training: Artifact | None = None
    vulnerability: Artifact | None = None
    faults: FaultBreakdown | None = None
    network: NetworkEstimates | None = None
    rerun: Rerun | None = None
    folder: str = ""
    maps: MapStudy | None = None

    @property
    def provenance(self) -> Provenance | None:
        """Return the provenance of its campaign or else of its golden run, None without both."""
        artifact = self.vulnerability or self.golden
        return artifact.provenance if artifact else None

    @property
    def fault_model(self) -> str:
        """Return its campaign's fault model, and pattern and duration where they matter; "" without a campaign."""
        return faults_in_words(self.vulnerability.provenance) if self.vulnerability else ""

    @property
    def campaign(self) -> Mapping[str, Any]:
        """Return the settings of its campaign, {} without one."""
        return self.vulnerability.provenance.config if self.vulnerability else {}

    @property
    def confidence(self) -> float:
        return float(self.campaign.get("confidence", 0.99))

    @property
    def limited(self) -> bool:
        """Return whether faulty values are limited to a range; without that, a few faults dominate every mean dLoss."""
        return self.campaign.get("limit") != "none"

    @cached_property
    def sites(self) -> list[dict[str, Any]]:
        """Return its rows of `vulnerability`, in execution order."""
        return self.vulnerability.table.to_pylist() if self.vulnerability else []

    @property
    def correct(self) -> np.ndarray:
        """Return which images are classified correctly without faults, bool [N]."""
        assert self.golden is not None
        return self.golden.column("prediction") == self.golden.column("label")


def charts(runs: Sequence[Run]) -> Iterator[tuple[Run, ...]]:
    """Yield the runs to plot together: all if there are few, else the first with each other one."""
    if len(runs) <= TOGETHER:
        yield tuple(runs)
        return
    for other in runs[1:]:
        yield runs[0], other


def across(plotted: Iterable[tuple[Any, tuple[Run, ...]]]) -> int | None:
    """Return the number of panels per row so that each row shows one group, None if they do not fit."""
    groups = len({group for _, group in plotted})
    return groups if 2 <= groups <= 3 else None


def basis(runs: Sequence[Run], *, intervals: bool = True) -> str:
    """Return a sentence on the sample behind these runs' figures, and on their `intervals`."""
    faults = [run.faults for run in runs if run.faults]
    samplings = listed(list(dict.fromkeys(SAMPLINGS.get(s, f"{s} sampling") for s in _settings(runs, "sampling"))))
    levels = listed([f"{100 * level:g}{SPACE}%" for level in sorted({run.confidence for run in runs})])
    any_lasting = any(lasting(run.campaign) for run in runs)
    return (
        f"{_span([each.rows for each in faults])} {'rows of faults' if any_lasting else 'faults'} a model on "
        f"{_span([len(each.images.image_id) for each in faults])} images, {samplings}"
        + (f"; intervals at {levels}, clustered by {'fault' if any_lasting else 'image'}." if intervals else ".")
    )


def faults_are(runs: Sequence[Run]) -> str:
    """Return what to call the faults of these runs."""
    return "flips" if all(run.fault_model.startswith("flip") for run in runs) else "faults"


def without_bit(runs: Sequence[Run]) -> str:
    """Return a sentence on faults that have no place in figures by bit; "" if there are none."""
    left_out = [f"{run.faults.without_bit:,} of {run.name}" for run in runs if run.faults and run.faults.without_bit]
    said = f"Faults that strike no single bit are not shown: {listed(left_out)}." if left_out else ""
    bursts = any("burst" in run.fault_model for run in runs)
    return f"{said} A burst counts at its lowest bit.".strip() if bursts else said


def _settings(runs: Sequence[Run], name: str) -> list[str]:
    return [str(run.campaign.get(name, "")) for run in runs]


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def alone(chart: Sequence[Run]) -> str:
    """Return the run's name if a plot shows only one, else "": the legend has the names."""
    return chart[0].name if len(chart) == 1 else ""


def key(*parts: str) -> str:
    """Return a key from these parts that is safe in ids and file names."""
    return "-".join("".join(c if c.isalnum() and c.isascii() else "_" for c in part) for part in parts)
