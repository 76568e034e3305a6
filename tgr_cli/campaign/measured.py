"""A measured run: its golden inference and its campaign, checked to belong together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tgr_cli.artifacts import store
from tgr_cli.artifacts.facts import lasting
from tgr_cli.artifacts.layout import RunFolder
from tgr_cli.artifacts.provenance import Provenance, sha256_file
from tgr_cli.artifacts.schemas import INJECTIONS, RANGES, VULNERABILITY
from tgr_cli.artifacts.store import Artifact
from tgr_cli.campaign import comparable, results, runs
from tgr_cli.campaign.comparable import Difference, profiled_on
from tgr_cli.metrics import summary
from tgr_cli.metrics.estimates import codes
from tgr_cli.reporting import Reporter


@dataclass(frozen=True)
class Measured:
    """A measured run: its artifacts, the provenance of its campaign, and data read from them."""

    name: str
    golden: Artifact
    injections: Artifact
    vulnerability: Artifact
    campaign: Provenance
    rows: list[dict[str, Any]]
    faults: summary.FaultColumns

    @property
    def correct_ids(self) -> np.ndarray:
        return self.golden.column("image_id")[runs.correct(self.golden)]

    @property
    def right_by_id(self) -> np.ndarray:
        """Return which images are classified correctly, bool [N], ordered by image id."""
        return runs.correct(self.golden)[np.argsort(self.golden.column("image_id"))]

    @property
    def limit(self) -> str:
        return str(self.injections.provenance.config.get("limit"))

    @property
    def target(self) -> str:
        return str(self.injections.provenance.config.get("target", "neuron"))

    @property
    def lasting(self) -> bool:
        return lasting(self.injections.provenance.config)

    @property
    def last(self) -> tuple[str, ...]:
        return tuple(self.injections.fact("last_sites"))

    @property
    def clusters(self) -> int:
        """Return the number of clusters of the intervals: images or, if faults are lasting, faults."""
        return len(np.unique(codes(self.faults.cluster)))

    @property
    def faults_a_site(self) -> float:
        return (self.clusters if self.lasting else len(self.faults)) / len(self.rows)

    @property
    def params(self) -> int:
        return int(self.golden.fact("params"))

    @property
    def macs(self) -> int:
        return int(self.vulnerability.fact("macs"))


def open_run(folder: RunFolder) -> Measured:
    """Return the run in a folder; raises TgrError if its artifacts are of different models, images or campaigns."""
    _, golden = runs.read_golden(folder.golden)
    injections = store.read(folder.injections, INJECTIONS, columns=results.COLUMNS)
    vulnerability = store.read(folder.vulnerability, VULNERABILITY)
    for artifact in (injections, vulnerability):
        runs.refuse_other_model(golden, artifact)
    runs.refuse_other_campaign(injections, vulnerability)
    runs.refuse_other_sites(injections, vulnerability)
    rows = vulnerability.table.to_pylist()
    campaign = injections.provenance.config
    faults = results.read(injections.table, campaign)
    if results.clusters(campaign) == "image":  # position among all image ids: equal for the same image in every run
        order = pa.array(np.sort(golden.column("image_id")))
        faults = replace(faults, cluster=pc.index_in(pa.array(faults.image_id), order).to_numpy())
    said = _with_ranges(folder, injections.provenance)
    return Measured(folder.called, golden, injections, vulnerability, said, rows, faults)


def differences(baseline: Measured, candidate: Measured, allowed: Sequence[str]) -> list[Difference]:
    """Return the differences between the campaigns of two runs.

    Raises TgrError for runs measured on other images, which are never comparable.
    """
    runs.refuse_other_images(baseline.golden, candidate.golden)
    return comparable.differences(baseline.name, baseline.campaign, candidate.name, candidate.campaign, allowed)


def note_figures(run: Measured, reporter: Reporter) -> None:
    """Note which estimates a run lacks, and restrictions on their interpretation."""
    if run.limit == "none":
        reporter.note(
            f"{run.name} was injected without a range limit, so a few faults dominate its mean dLoss: factors "
            "are given for medians and SDC rates only"
        )
    missing = set(run.last) - {row["site"] for row in run.rows}
    if missing or not run.last:
        where = ", ".join(sorted(missing)) or "its last layer (see --targets)"
        reporter.note(f"{run.name} has no fault at {where}, so no estimate of its last layer")
    if run.injections.provenance.config.get("sampling") == "list":
        reporter.note(f"{run.name} was injected from a list of faults: its figures describe that list, not the model")


def _with_ranges(folder: RunFolder, campaign: Provenance) -> Provenance:
    """Return a campaign's provenance, completed with the images its ranges were profiled on.

    Older campaigns lack this; it is taken from the run's ranges file, if that has the recorded SHA-256.
    """
    if "ranges" in campaign.extra or "ranges" not in campaign.inputs or not folder.ranges.exists():
        return campaign
    if sha256_file(folder.ranges) != campaign.inputs["ranges"]:
        return campaign
    ranges = store.read(folder.ranges, RANGES)
    return replace(campaign, extra={**campaign.extra, "ranges": profiled_on(ranges.provenance.extra)})
