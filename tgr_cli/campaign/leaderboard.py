"""The campaigns under a folder, in groups of those that may be compared, for the leaderboard."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tgr_cli.artifacts import run_records, store
from tgr_cli.artifacts.fault_facts import faults_in_words, formats_in_words
from tgr_cli.artifacts.layout import RunFolder, formats_in_names, vulnerability_beside
from tgr_cli.artifacts.outputs import artifact_kind
from tgr_cli.artifacts.provenance import Provenance
from tgr_cli.artifacts.schemas import INJECTIONS, VULNERABILITY
from tgr_cli.artifacts.store import Artifact
from tgr_cli.campaign import comparable, results, runs
from tgr_cli.campaign.deviations import protocol_in_words
from tgr_cli.errors import TgrError
from tgr_cli.metrics import summary
from tgr_cli.metrics.intervals import Estimate
from tgr_cli.models.names import RANDOM_WEIGHTS
from tgr_cli.reporting import Reporter

NOT_RECORDED = "not recorded"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One campaign: its model, its data, and its figures; None is what was not measured or not recorded.

    `images` are those that faults could strike, `accuracy` is over the `evaluated` images. `mean_dloss` is None without
    a range limit. `date` is when it was run, as 2026-11-29.
    """

    name: str
    path: Path
    campaign: Provenance
    pictures: str | None  # a digest of the evaluated images and their labels
    accuracy: float | None
    evaluated: int | None
    sdc_rate: Estimate
    mean_dloss: Estimate | None
    faults: int
    date: str | None

    @property
    def row(self) -> dict[str, Any]:
        """Return what the page shows of the campaign, by column."""
        extra = self.campaign.extra
        origin = str(extra.get("origin") or NOT_RECORDED)
        return {
            "model": self.name,
            "data": _data(self.campaign),
            "images": extra.get("images"),
            "accuracy": self.accuracy,
            "evaluated": self.evaluated,
            "sdc_rate": self.sdc_rate,
            "mean_dloss": self.mean_dloss,
            "faults": self.faults,
            "format": formats_in_words(self.campaign),
            "protocol": protocol_in_words(self.campaign),
            "weights": origin,
            "random": origin == RANDOM_WEIGHTS,
            "date": self.date,
            "version": self.campaign.tgr,
        }


@dataclass(frozen=True)
class Group:
    """Campaigns that may be compared with each other, and in a sentence what sets them apart from the first group."""

    data: str
    settings: str
    apart: str
    rows: list[dict[str, Any]]


def groups(folder: Path, reporter: Reporter) -> list[Group]:
    """Return all campaigns under a folder, the largest group first; raises TgrError if there is none.

    Within a group the lowest SDC rate is first. A file that cannot be shown is left out, which is noted.
    """
    standings = list(_standings(folder, reporter))
    if not standings:
        raise TgrError(f'{folder} holds no campaign; run "tgr inject" first, or name the folder of its runs')
    found = list[list[Standing]]()
    for standing in standings:
        for group in found:
            if all(_alike(other, standing) for other in group):
                group.append(standing)
                break
        else:
            found.append([standing])
    found.sort(key=len, reverse=True)
    names = [standing.name for standing in standings]
    first = found[0][0]
    return [
        Group(
            data=_data(group[0].campaign),
            settings=_settings(group[0].campaign),
            apart="" if group[0] is first else _apart(first, group[0]),
            rows=[
                each.row | ({"model": f"{each.name} ({each.path.parent})"} if names.count(each.name) > 1 else {})
                for each in sorted(group, key=lambda each: (each.sdc_rate.mean, each.name))
            ],
        )
        for group in found
    ]


def _standings(folder: Path, reporter: Reporter) -> Iterator[Standing]:
    files = sorted(path for path in folder.rglob("*.parquet") if artifact_kind(path) == INJECTIONS.kind)
    for done, path in enumerate(files):
        reporter.progress("campaigns read", done, len(files))
        try:
            yield _standing(path, folder)
        except TgrError as error:
            reporter.note(f"{path.relative_to(folder)} is left out: {error}")


def _standing(path: Path, folder: Path) -> Standing:
    injections = store.read(path, INJECTIONS, columns=results.COLUMNS)
    campaign = injections.provenance
    if campaign.config.get("sampling") == "list":
        raise TgrError("it ran a list of faults, whose figures describe that list and not the model")
    beside = vulnerability_beside(path)
    if not beside.exists():
        raise TgrError(f'{beside.name} is not beside it; a part of a campaign is shown once "tgr merge" has merged it')
    vulnerability = store.read(beside, VULNERABILITY)
    runs.refuse_other_campaign(injections, vulnerability)
    faults = results.read(injections.table, campaign.config)
    confidence = campaign.config["confidence"]
    network = summary.network(vulnerability.table.to_pylist(), faults, confidence)
    run = RunFolder(path.parent, str(campaign.config.get("target", "neuron")), formats_in_names(*campaign.deployed_in))
    own = run.injections.name == path.name
    golden = _golden(run.golden, injections)
    return Standing(
        name=run.called if own else f"{run.name}: {path.stem}",
        path=path.relative_to(folder),
        campaign=campaign,
        pictures=_digest(golden) if golden else None,
        accuracy=float(runs.correct(golden).mean()) if golden else None,
        evaluated=len(golden.table) if golden else None,
        sdc_rate=network.sdc_rate,
        mean_dloss=None if campaign.config.get("limit") == "none" else network.mean_dloss,
        faults=len(injections.table),
        date=_date(path),
    )


def _golden(path: Path, injections: Artifact) -> Artifact | None:
    """Return the golden run of the campaign's model, None if it was not evaluated."""
    if not path.exists():
        return None
    _, golden = runs.read_golden(path)
    return golden if golden.provenance.model == injections.provenance.model else None


def _digest(golden: Artifact) -> str:
    pairs = sorted(zip(golden.column("image_id").tolist(), golden.column("label").tolist(), strict=True))
    return hashlib.sha256(repr(pairs).encode()).hexdigest()


def _date(path: Path) -> str | None:
    """Return the day on which the file was made, from the run record beside it; artifacts hold no time."""
    try:
        record = run_records.read(path, "started")
    except (OSError, TgrError):  # a damaged record leaves the day unknown, and the figures as they are
        return None
    return record["started"][:10] if record and isinstance(record["started"], str) else None


def _alike(one: Standing, other: Standing) -> bool:
    """Return whether `tgr compare` would compare two models that were measured as these two were."""
    if not _of_one_data_set(one, other):
        return False
    return not comparable.separating(one.campaign, other.campaign)


def _of_one_data_set(one: Standing, other: Standing) -> bool:
    if one.campaign.classes != other.campaign.classes:
        return False
    if one.pictures and other.pictures:
        return one.pictures == other.pictures
    return all(one.campaign.extra.get(name) == other.campaign.extra.get(name) for name in ("dataset", "used"))


def _apart(first: Standing, other: Standing) -> str:
    said = [] if _of_one_data_set(first, other) else ["other images"]
    differing = comparable.separating(first.campaign, other.campaign)
    said += [f"{name} ({ours}, not {theirs})" for name, (theirs, ours) in differing.items()]
    return f"Not comparable with the first table: {', '.join(said)}."


def _data(campaign: Provenance) -> str:
    dataset, used = (str(campaign.extra.get(name) or "") for name in ("dataset", "used"))
    return used if dataset in used else f"{dataset}, {used}" if used else dataset


def _settings(campaign: Provenance) -> str:
    """Return the settings that the rows of a group share."""
    config: Mapping[str, Any] = campaign.config
    parts: Sequence[str] = (
        faults_in_words(campaign),
        f"operations {config.get('targets')}" if config.get("target", "neuron") == "neuron" else "",
        f"range limit {config.get('limit')}",
        f"losses against the {config.get('label')} class",
        "all images" if config.get("all_images") else "images classified correctly",
    )
    return "; ".join(part for part in parts if part)
