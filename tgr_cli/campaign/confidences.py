"""Reads artifacts for the analysis of re-running: golden confidences, and faults weighted by a population."""

from tgr_cli.artifacts.facts import lasting
from tgr_cli.artifacts.store import Artifact
from tgr_cli.campaign import results, runs
from tgr_cli.errors import TgrError
from tgr_cli.metrics import breakdown, population
from tgr_cli.metrics.curves import COLUMNS, GoldenConfidences, Injected
from tgr_cli.reporting import Reporter


def golden(artifact: Artifact) -> GoldenConfidences:
    """Return the images of a `golden` artifact with their confidences."""
    confidence = {criterion: artifact.column(name) for criterion, name in COLUMNS.items()}
    return GoldenConfidences(artifact.column("image_id"), runs.correct(artifact), confidence)


def injected(artifact: Artifact | None, count_by: str, targets: str | None) -> Injected | None:
    """Return the faults of an `injections` artifact with their population; None without an artifact or faults.

    Raises TgrError if none of its sites is one of `targets`.
    """
    if artifact is None or artifact.table.num_rows == 0:
        return None
    campaign = artifact.provenance.config
    struck = breakdown.FaultRows.read(artifact.table, results.clusters(campaign), results.strata(campaign))
    seen = set(struck.sites)
    rows = [row for row in artifact.fact("sites") if row["site"] in seen]
    try:
        return Injected(struck, population.of(rows, count_by, targets))
    except TgrError as error:
        raise TgrError(f"{artifact.path}: {error}") from error


def note(
    name: str, artifact: Artifact | None, faults: Injected | None, targets: str | None, reporter: Reporter
) -> None:
    """Note missing coverages of a model, and restrictions on their interpretation."""
    if artifact is None or faults is None:
        reporter.note(f'{name} has no injections, so no coverage of SDCs; "tgr inject" makes them')
        return
    campaign, operations = artifact.provenance.config, faults.population.operations
    if lasting(campaign):
        reporter.note(
            f"{name} was injected with --target {campaign.get('target')}: such a fault persists, so re-running "
            "detects it only on another copy of the model"
        )
    elif targets is None and "conv" not in operations:
        reporter.note(f"{name} has no fault at a convolution, so all its sites count: {', '.join(operations)}")
    if campaign.get("sampling") == "list":
        reporter.note(f"{name} was injected from a list of faults: its coverages describe that list, not the model")
