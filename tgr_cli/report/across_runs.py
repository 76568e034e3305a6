"""The sections from artifacts on several runs, each of those runs of the page that the artifact was made from."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tgr_cli.artifacts import store
from tgr_cli.artifacts.columns import Schema
from tgr_cli.artifacts.layout import RunFolder, Workspace
from tgr_cli.artifacts.provenance import sha256_file
from tgr_cli.artifacts.schemas import FIT, PROTECTION
from tgr_cli.artifacts.store import Artifact
from tgr_cli.report import failures_in_time, protection
from tgr_cli.report.figure import Section


def sections(workspace: Workspace, folders: Sequence[RunFolder]) -> Iterator[Section]:
    """Yield the sections on protection and on failures in time, if any of the runs is in their artifacts."""
    stored, rows = _stored(workspace.protection, PROTECTION, folders)
    if stored:
        yield protection.section(rows, stored.provenance.config)
    stored, rows = _stored(workspace.fit, FIT, folders)
    if stored:
        names = {row["model"] for row in rows}
        left_out = {name: said for name, said in stored.fact("left_out").items() if name in names}
        yield failures_in_time.section(rows, stored.provenance.config, left_out)


def _stored(path: Path, schema: Schema, folders: Sequence[RunFolder]) -> tuple[Artifact | None, list[dict[str, Any]]]:
    """Return an artifact, and its rows on the runs whose present campaigns it was made from; None without such runs."""
    if not path.exists():
        return None, []
    stored = store.read(path, schema)
    made_from = stored.provenance.inputs
    names = [
        folder.called
        for folder in folders
        if folder.injections.exists() and made_from.get(f"injections {folder.called}") == sha256_file(folder.injections)
    ]
    rows = stored.table.to_pylist() if names else []
    return (stored if names else None), [row for name in names for row in rows if row["model"] == name]
