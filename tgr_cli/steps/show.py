"""The content of an artifact: kind, columns, lineage, provenance, first rows, and a summary."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tgr_cli import defaults
from tgr_cli.artifacts import run_records, store
from tgr_cli.artifacts.columns import Schema
from tgr_cli.artifacts.provenance import Provenance
from tgr_cli.artifacts.schemas import DESCRIPTIONS, EMBEDDINGS, FEATURE_MAPS, TEXT_EMBEDDINGS
from tgr_cli.metrics import feature_maps
from tgr_cli.metrics.feature_maps import MapsDigest
from tgr_cli.text import digest
from tgr_cli.text.digest import DescriptionsDigest, EmbeddingsDigest, TextsDigest

Digest = DescriptionsDigest | EmbeddingsDigest | TextsDigest | MapsDigest


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The content of an artifact: its schema, provenance, number of rows, run record (if any) and first rows.

    `digest` summarises descriptions, embeddings and feature maps, None for other kinds.
    """

    path: Path
    schema: Schema
    provenance: Provenance
    rows: int
    record: dict[str, Any] | None
    head: list[dict[str, Any]]
    digest: Digest | None


def run(path: Path, head: int = defaults.ROWS) -> Shown:
    """Return the content of the artifact at `path` with its first `head` rows; raises TgrError for other files."""
    schema, provenance, rows = store.describe(path)
    table = store.read(path, schema).table
    return Shown(
        path=path,
        schema=schema,
        provenance=provenance,
        rows=rows,
        record=_record(path),
        head=table.slice(0, head).to_pylist(),
        digest=_digest(table, provenance, head) if len(table) else None,
    )


def _digest(table: pa.Table, provenance: Provenance, shown: int) -> Digest | None:
    if provenance.kind == DESCRIPTIONS.kind:
        return digest.of_descriptions(table, provenance.classes, shown)
    if provenance.kind == EMBEDDINGS.kind:
        names, texts, spreads = (table[name].to_pylist() for name in ("class_name", "descriptions", "spread"))
        return digest.of_embeddings(names, np.stack(table["embedding"].to_numpy()), texts, spreads)
    if provenance.kind == FEATURE_MAPS.kind:
        limited = provenance.config.get("limit") != "none"
        return feature_maps.digest(table.to_pylist(), provenance.extra.get("v_cnn") or {}, shown, limited=limited)
    return digest.of_texts(table, shown) if provenance.kind == TEXT_EMBEDDINGS.kind else None


def _record(artifact: Path) -> dict[str, Any] | None:
    record = run_records.read(artifact, "command", "host", "started", "seconds", "options")
    options = record["options"] if record else {}
    entries = list(options.values()) if isinstance(options, dict) else [options]
    if not all(isinstance(entry, dict) and {"value", "from"} <= entry.keys() for entry in entries):
        raise run_records.malformed(artifact)
    return record
