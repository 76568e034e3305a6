"""A measured run: its artifacts of fault-free inference and of a campaign, checked to belong together."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import RunFolder
from tgr_cli.artifacts.schemas import INJECTIONS, VULNERABILITY
from tgr_cli.artifacts.store import Artifact
from tgr_cli.errors import TgrError
from tgr_cli.metrics import summary
from tgr_cli.metrics.estimates import codes
from tgr_cli.reporting import Reporter
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


@dataclass(frozen=True)
class Measured:
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

    @property
    def params(self) -> int:
        return int(self.golden.provenance.extra["params"])

    @property
    def macs(self) -> int:
        return int(self.vulnerability.provenance.extra["macs"])


def open_run(folder: RunFolder) -> Measured:
    """Return the run in a folder; raises TgrError where its artifacts are of different models, images or campaigns."""
    _, golden = runs.read_golden(folder.golden)
    injections = store.read(folder.injections, INJECTIONS, columns=results.COLUMNS)
    vulnerability = store.read(folder.vulnerability, VULNERABILITY)
    for artifact in (injections, vulnerability):
        runs.refuse_other_model(golden, artifact)
    if vulnerability.provenance.inputs.get("injections") != injections.sha256:
        raise TgrError(f'{vulnerability.path} was not made from {injections.path}; run "tgr inject" again')
    rows = vulnerability.table.to_pylist()
    name = folder.path.resolve().name
    campaign = injections.provenance.config
    faults = results.read(injections.table, campaign)
    if results.clusters(campaign) == "image":  # told by number, as the same images have it in every run
        order = pa.array(np.sort(golden.column("image_id")))
        faults = replace(faults, cluster=pc.index_in(pa.array(faults.image_id), order).to_numpy())
    return Measured(name, golden, injections, vulnerability, rows, faults)


def refuse_incomparable(baseline: Measured, candidate: Measured) -> None:
    """Raise TgrError where two runs were measured on other images, or struck at other kinds of places."""
    runs.refuse_other_images(baseline.golden, candidate.golden)
    if candidate.target != baseline.target:
        raise TgrError(
            f"{candidate.name} was injected with --target {candidate.target}, {baseline.name} with "
            f'{baseline.target}, which no factor compares; run "tgr inject" on both with one --target'
        )


def note_choices(run: Measured, baseline: Measured, reporter: Reporter) -> None:
    """Tell what a run's campaign was asked for that the baseline's was not, and what has no figure."""
    if run.limit == "none":
        reporter.note(
            f"{run.name} was injected without a range limit, where a few faults carry the mean dLoss: its factors "
            "rest on medians and SDC rates only"
        )
    for option, name in CHOICES.items():
        ours, theirs = (each.injections.provenance.config.get(name) for each in (run, baseline))
        if ours != theirs:
            reporter.note(f"{run.name} was injected with {option} {ours}, {baseline.name} with {theirs}")
    missing = set(run.last) - {row["site"] for row in run.rows}
    if missing or not run.last:
        where = ", ".join(sorted(missing)) or "its last layer (see --targets)"
        reporter.note(f"{run.name} has no fault at {where}, so no figure of its last layer")
    if run.injections.provenance.config.get("sampling") == "list":
        reporter.note(f"{run.name} was injected from a list of faults: its figures describe that list, not the model")
