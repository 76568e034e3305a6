"""Finds missing inputs of a command and reports them in one message, before torch is loaded.

Only the file system is inspected, so this takes less than a second. The steps repeat the checks in depth when they open
the files.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from tgr_cli.artifacts.layout import RunFolder, Workspace
from tgr_cli.data import missing as absent
from tgr_cli.data.images import Split
from tgr_cli.data.source import DataSource, classes
from tgr_cli.errors import TgrError
from tgr_cli.models import names
from tgr_cli.models.source import ModelSource, trained_run
from tgr_cli.models.weight_addresses import Published, published
from tgr_cli.reporting import SILENT, Reporter

COUNTED = ("", "Two things are", "Three things are", "Four things are", "Five things are")


@dataclass(frozen=True)
class MissingInput:
    """A missing input: what and where, and the possible next steps."""

    what: str
    ways: str

    def __str__(self) -> str:
        return f"{self.what}; {self.ways}"

    @classmethod
    def told(cls, error: TgrError) -> "MissingInput":
        """Return the message of an error as `what` (before the first semicolon) and `ways` (after it)."""
        what, _, ways = str(error).partition("; ")
        return cls(what, ways.rstrip("."))


def refuse(missing: Sequence[MissingInput | None]) -> None:
    """Raise TgrError that lists all missing inputs once each; None entries are not missing."""
    first: dict[str, MissingInput] = {}
    for each in missing:
        if each is not None:
            first.setdefault(each.what, each)
    found = list(first.values())
    if len(found) == 1:
        raise TgrError(str(found[0]))
    if found:
        count = COUNTED[len(found) - 1] if len(found) <= len(COUNTED) else f"{len(found)} things are"
        raise TgrError(f"{count} missing: " + ". ".join(f"({n}) {each}" for n, each in enumerate(found, 1)))


def file(path: Path | None, option: str, ways: str) -> MissingInput | None:
    """Return the file named by an option if it does not exist, else None."""
    return None if path is None or path.exists() else MissingInput(f"{option} {path} does not exist", ways)


def images(source: DataSource, *splits: Split) -> list[MissingInput | None]:
    """Return the splits without images, combined if they are expected at the same place.

    For a data set given by path, errors in its classes are returned too.
    """
    by_place: dict[tuple[Path, ...], list[absent.MissingSplit]] = {}
    for split in absent.missing(source, splits):
        by_place.setdefault(split.tried, []).append(split)
    if not by_place and source.path is not None:
        try:
            classes(source)
        except TgrError as error:
            return [MissingInput.told(error)]
    return [_at_one_place(tried, found) for tried, found in by_place.items()]


def _at_one_place(tried: tuple[Path, ...], found: list[absent.MissingSplit]) -> MissingInput:
    """Return the splits expected at one place as one missing input."""
    first = found[0]
    if first.state:
        return MissingInput(f"{first.source} {first.state}", f"name {first.expected}")
    ways = ", ".join(dict.fromkeys(way for split in found for way in split.ways))
    words = " and ".join("training" if split.split == "train" else "evaluation" for split in found)
    places = " and ".join(map(str, tried))
    what = f"{first.source} has no {words} images: {places} was looked for ({first.expected})"
    return MissingInput(what, f"put them there, or use {ways}")


def pretrained(
    source: ModelSource, dataset: DataSource, workspace: Workspace
) -> tuple[MissingInput | None, Published | None]:
    """Return the weights if they are missing, and those that a library would download.

    Raises TgrError for an unknown model, and if several trained runs match.
    """
    names.refuse_unknown(source.model)
    if source.checkpoint is not None:
        ways = "name a safetensors file or a state dict saved by torch"
        return file(source.checkpoint, "--checkpoint", ways), None
    if source.weights == "none" or (source.weights is None and trained_run(source, workspace) is not None):
        return None, None
    train = f"tgr train --dataset {dataset.dataset} --model {source.model}"
    if source.head not in (None, "baseline"):
        return MissingInput(
            f"{workspace.path} holds no trained {source.model} with --head {source.head}",
            f'run "{train} --head {source.head}" first, or give --checkpoint FILE',
        ), None
    offered = published(source.model, source.weights)
    if offered is None:
        own = source.model in names.OWN
        return _untrained(source, workspace, "and no library has weights of it", train) if own else None, None
    count = _class_count(dataset)
    if count is not None and offered.num_classes not in (None, count):
        why = f"and {offered.publisher}'s weights are for {offered.num_classes:,} classes, where it has {count:,}"
        return _untrained(source, workspace, why, train), None
    return None, None if offered.fetched else offered


def _untrained(source: ModelSource, workspace: Workspace, why: str, train: str) -> MissingInput:
    return MissingInput(
        f"{workspace.path} holds no trained {source.model}, {why}",
        f'run "{train}" first, or give --checkpoint FILE, or --weights none for random weights',
    )


def to_fetch(source: ModelSource, offered: Published) -> MissingInput:
    """Return downloadable weights as a missing input."""
    return MissingInput(
        f"{offered.publisher}'s weights {offered.tag} of {source.model} are not on this machine: they come from "
        f"{offered.address} and are kept at {offered.kept}",
        "connect to a network, put them there, or give --checkpoint FILE or --weights none for random weights",
    )


def reachable(address: str) -> bool:
    """Return whether the address's host name can be resolved; it cannot without a network."""
    from urllib.request import getproxies  # imported here: it loads much of the network stack and is rarely needed

    host = urlparse(address).hostname
    if host is None or getproxies():  # a proxy resolves names itself
        return True
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True


def _class_count(images: DataSource) -> int | None:
    try:
        return len(classes(images).names)
    except TgrError:  # reported when the images are opened
        return None


def model(
    source: ModelSource,
    dataset: DataSource,
    workdir: Path,
    others: Sequence[MissingInput | None],
    *,
    along: MissingInput | None = None,
    reporter: Reporter = SILENT,
) -> None:
    """Raise TgrError for what is missing of `others` and the model's weights; note where weights are downloaded from.

    `along` is reported only together with other missing inputs.
    """
    missing, offered = pretrained(source, dataset, Workspace(workdir, dataset.folder))
    found = [*others, missing]
    if offered is not None and (any(found) or not reachable(offered.address)):
        found.append(to_fetch(source, offered))
    refuse([*found, along] if any(found) else found)
    if offered is not None:
        reporter.note(f"fetching {offered.publisher}'s weights {offered.tag} of {source.model} from {offered.address}")


def run_artifacts(workspace: Workspace, runs: Sequence[str], artifacts: Sequence[str]) -> list[MissingInput | None]:
    """Return the artifacts that the runs lack; `artifacts` are kinds, such as "golden"."""
    return [missing for run in dict.fromkeys(runs) for missing in _of_run(workspace, run, artifacts)]


def _of_run(workspace: Workspace, run: str, artifacts: Sequence[str]) -> list[MissingInput | None]:
    from tgr_cli.artifacts.measurements import measured_run  # imported here: reading files loads pyarrow

    try:
        folder = measured_run(workspace, run)
    except TgrError as error:
        return [MissingInput.told(error)]
    return [_artifact(folder, name) for name in artifacts]


def _artifact(folder: RunFolder, name: str) -> MissingInput | None:
    from tgr_cli.artifacts.schemas import KINDS

    path: Path = getattr(folder, name)
    if path.exists():
        return None
    options = [f"--target {folder.target}"] if folder.target != "neuron" and name != "golden" else []
    options += ["the number formats of that deployment"] if folder.formats else []
    with_options = f" with {' and '.join(options)}" if options else ""
    return MissingInput(f"{path} does not exist", f'run "{KINDS[name].command}"{with_options} first')


def embeddings(path: Path | None, workspace: Workspace, dataset: str, init: str) -> MissingInput | None:
    """Return the class embeddings of a text head if they are missing, with the commands that create them."""
    found = path or workspace.embeddings(init)
    if found.exists():
        return None
    embed = f"tgr embed --dataset {dataset} --init {init}"
    described = init != "descriptions" or workspace.descriptions.exists()
    before = "" if described else f'"tgr describe --dataset {dataset}" and then '
    return MissingInput(f"{found} does not exist", f'run {before}"{embed}" first')
