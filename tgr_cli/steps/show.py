"""What any artifact says of itself: kind, columns, lineage, how it was made, and its first rows."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tgr_cli.artifacts import store
from tgr_cli.artifacts.provenance import Provenance
from tgr_cli.artifacts.schemas import Schema


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
    record_path = store.run_record(path)
    record = json.loads(record_path.read_text(encoding="utf-8")) if record_path.exists() else None
    return Shown(
        path=path,
        schema=schema,
        provenance=provenance,
        rows=rows,
        record=record,
        head=table.slice(0, head).to_pylist(),
    )
