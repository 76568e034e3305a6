"""Compare candidates with a baseline: accuracy, cost, improvement factors and Top2Diff, as in the paper's Table 1.

Each candidate is compared twice: on the images of each model's own campaign (`own`), and on those that both models
classify correctly (`common`), so that neither model is measured on easier images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tgr_cli import defaults
from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import Workspace
from tgr_cli.artifacts.measurements import measured_run
from tgr_cli.artifacts.schemas import COMPARISON
from tgr_cli.campaign import comparable, comparison
from tgr_cli.campaign.beside_published import BesidePublished, beside_published
from tgr_cli.campaign.comparable import Difference
from tgr_cli.campaign.measured import differences, note_figures, open_run
from tgr_cli.data.source import DataSource
from tgr_cli.errors import TgrError, one_of
from tgr_cli.metrics import improvement, summary, verdict
from tgr_cli.reporting import SILENT, Reporter


@dataclass(frozen=True, kw_only=True)
class Config:
    """The runs, by name within the data set's folder or by path, and the gate for each candidate.

    Names and paths are as in `artifacts.measurements`. `allow_different` names settings in which campaigns may differ
    (`campaign.comparable`). `min_improvement` is the lower bound for the factor `gate_on` (None: `overall`), on the
    images of each model's own campaign.
    """

    baseline: str
    candidates: Sequence[str]
    dataset: str = defaults.DATASET
    name: str | None = None
    allow_different: Sequence[str] = ()
    workdir: Path = defaults.WORKDIR
    out: Path | None = None
    min_improvement: float | None = None
    gate_on: str | None = None

    def __post_init__(self) -> None:
        comparable.check(self.allow_different)
        if not self.candidates:
            raise TgrError("there is no candidate to compare with the baseline; name at least one run more")
        one_of("--gate-on", self.gate_on, improvement.FACTORS)
        if self.gate_on is not None and self.min_improvement is None:
            raise TgrError(f"--gate-on {self.gate_on} names a factor without a gate; set one with --min-improvement")
        if self.min_improvement is not None and not self.min_improvement >= 0:  # `not >=` also rejects NaN
            raise TgrError(f"--min-improvement is {self.min_improvement:g}; it must be a factor of 0 or more")


@dataclass(frozen=True)
class Result:
    """The artifact's path, its rows, the differences between campaigns, and the gate's verdict, if there is a gate.

    `beside` are the rows beside the papers' figures.
    """

    path: Path
    rows: list[dict[str, Any]]
    differences: list[Difference]
    gate: summary.Gate | None
    beside: BesidePublished


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Compare every candidate with the baseline, write the `comparison` artifact and return its rows."""
    workspace = Workspace(config.workdir, DataSource(dataset=config.dataset, name=config.name).folder)
    opened = [open_run(measured_run(workspace, run)) for run in (config.baseline, *config.candidates)]
    names = [measured.name for measured in opened]
    for name in names:
        if names.count(name) > 1:
            raise TgrError(f'two of the runs are called "{name}"; name each once, or rename the folder of one')
    baseline, *candidates = opened
    found = [each for candidate in candidates for each in differences(baseline, candidate, config.allow_different)]
    comparable.refuse(found)
    path = store.prepare(config.out or workspace.comparison, COMPARISON.kind, config)
    for measured in opened:
        note_figures(measured, reporter)
    for difference in found:
        reporter.note(difference.sentence)
    compared = [row for candidate in candidates for row in comparison.rows(baseline, candidate, reporter)]
    inputs = {
        f"{role} {measured.name}": getattr(measured, role).sha256
        for measured in opened
        for role in ("golden", "injections", "vulnerability")
    }
    provenance = store.provenance_for(
        COMPARISON,
        config={
            "baseline": baseline.name,
            "candidates": [candidate.name for candidate in candidates],
            "allow_different": list(config.allow_different),
        },
        classes=baseline.golden.provenance.classes,
        inputs=inputs,
        extra={
            "differences": [asdict(difference) for difference in found],
            "formats": {measured.name: measured.campaign.number_format for measured in opened},
        },
    )
    columns = {name: [row[name] for row in compared] for name in COMPARISON.arrow.names}
    store.write(path, COMPARISON, columns, provenance)
    beside = beside_published({run.name: run.injections.provenance for run in opened}, compared)
    return Result(path, compared, found, _gate(config, compared), beside)


def _gate(config: Config, compared: Sequence[Mapping[str, Any]]) -> summary.Gate | None:
    """Return whether all candidates pass; None without a gate."""
    if config.min_improvement is None:
        return None
    own = [row for row in compared if row["images"] == "own"]
    figure = config.gate_on or defaults.FACTOR
    return summary.worst([verdict.gate_on_improvement(row, figure, config.min_improvement) for row in own])
