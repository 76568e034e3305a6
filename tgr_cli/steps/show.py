"""What any artifact says of itself: kind, columns, lineage, how it was made, and its first rows."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tgr_cli.artifacts import store
from tgr_cli.artifacts.provenance import Provenance
from tgr_cli.artifacts.schemas import Schema
from tgr_cli.errors import TgrError


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An artifact's own words: its schema, provenance, number of rows, run record (if any) and first rows."""

    path: Path
    schema: Schema
    provenance: Provenance
    rows: int
    record: dict[str, Any] | None
    head: list[dict[str, Any]]


def run(path: Path, head: int = 5) -> Shown:
    """Return what the artifact at `path` says of itself, with its first `head` rows; raises TgrError if it is none."""
    schema, provenance, rows = store.describe(path)
    table = store.read(path, schema).table
    return Shown(
        path=path,
        schema=schema,
        provenance=provenance,
        rows=rows,
        record=_record(store.run_record(path)),
        head=table.slice(0, head).to_pylist(),
    )


def _record(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not {"command", "host", "started", "seconds", "options"} <= record.keys():
            raise ValueError
    except (OSError, ValueError, AttributeError) as error:
        raise TgrError(f"{path} is no run record of tgr; remove it, the artifact stands without it") from error
    return record
