"""Reads and writes artifacts: writes are atomic, and reads verify the file first."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tgr_cli.artifacts.columns import Schema
from tgr_cli.artifacts.outputs import METADATA_KEY, refuse_loss
from tgr_cli.artifacts.outputs import prepare as prepare
from tgr_cli.artifacts.outputs import replacing as replacing
from tgr_cli.artifacts.outputs import run_record as run_record
from tgr_cli.artifacts.provenance import Provenance, sha256_file
from tgr_cli.artifacts.rows import first_impossible
from tgr_cli.artifacts.schemas import KINDS
from tgr_cli.errors import TgrError, found_at

SEAL_KEY = b"tgr_sha256"  # checksum of metadata and column names; Parquet pages have their own, the footer has none
WRITTEN: Mapping[str, Any] = {"compression": "zstd", "write_page_checksum": True}  # zstd alone misses most bit errors

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Artifact:
    """An artifact that was read: path, rows and provenance."""

    path: Path
    table: pa.Table
    provenance: Provenance

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the file, as recorded in artifacts derived from it."""
        return sha256_file(self.path)

    def fact(self, name: str) -> Any:
        """Return the metadata entry `name`; raises TgrError if it is missing."""
        if self.provenance.extra.get(name) is None:
            made_by = KINDS[self.provenance.kind].command
            raise TgrError(f'{self.path} has no "{name}" in its metadata; make it again with "{made_by}"')
        return self.provenance.extra[name]

    def column(self, name: str) -> Any:
        """Return one column as a numpy array."""
        return self.table.column(name).to_numpy()


def write_json(path: Path, value: Any) -> Path:
    """Write `value` as JSON, atomically, and return the path."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def write(path: Path, schema: Schema, rows: Mapping[str, Any] | pa.Table, provenance: Provenance) -> Path:
    """Write `rows` as an artifact of kind `schema`, atomically, and return the path.

    `rows` has exactly the columns of the schema (asserted).
    """
    assert provenance.kind == schema.kind
    assert provenance.version == schema.version
    names = rows.column_names if isinstance(rows, pa.Table) else list(rows)
    assert set(names) == set(schema.arrow.names), f"{schema.kind}: {set(names) ^ set(schema.arrow.names)}"
    if isinstance(rows, pa.Table):
        table = rows.select(schema.arrow.names).cast(schema.arrow)
    else:
        table = pa.table({name: rows[name] for name in schema.arrow.names}, schema=schema.arrow)
    for field in schema.arrow:
        assert field.nullable or table[field.name].null_count == 0, f"{schema.kind}.{field.name} has nulls"
    refuse_loss(path, schema.kind)
    with replacing(path) as temporary:
        pq.write_table(table.replace_schema_metadata(_sealed(schema, provenance)), temporary, **WRITTEN)
    return path


def _sealed(schema: Schema, provenance: Provenance) -> dict[bytes, bytes]:
    written = provenance.to_json().encode()
    return {METADATA_KEY: written, SEAL_KEY: _seal(written, schema.arrow.names)}


def _seal(written: bytes, columns: Sequence[str]) -> bytes:
    return sha256(b"\0".join([written, *(name.encode() for name in columns)])).hexdigest().encode()


@contextmanager
def streaming(path: Path, schema: Schema, provenance: Provenance) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Provide a function that appends rows, as columns by name, to an artifact that may exceed memory.

    The artifact appears when the block succeeds; on failure nothing is left.
    """
    assert provenance.kind == schema.kind
    refuse_loss(path, schema.kind)
    arrow = schema.arrow.with_metadata(_sealed(schema, provenance))
    with replacing(path) as temporary, pq.ParquetWriter(temporary, arrow, **WRITTEN) as writer:
        yield lambda rows: writer.write_table(pa.table({name: rows[name] for name in arrow.names}, schema=arrow))


def describe(path: Path, made_by: str = "") -> tuple[Schema, Provenance, int]:
    """Return an artifact's schema, provenance and number of rows from its footer; raises TgrError if it is not one.

    `made_by` is the command that creates the file, for the error message. The checksum of the metadata is verified;
    files of older versions have none, which is logged as a warning.
    """
    if not path.is_file():
        hint = f'run "{made_by}" first' if made_by else "name a file that tgr wrote; they lie in --workdir (runs)"
        raise TgrError(f"{path} {found_at(path)}; {hint}")
    try:
        footer = pq.read_metadata(path)
        columns = footer.schema.to_arrow_schema().names
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: invalid UTF-8 in the footer
        raise TgrError(
            f"{path} is not a whole Parquet file (truncated, or another format); {_again(made_by)}"
        ) from error
    metadata = footer.metadata or {}
    if METADATA_KEY not in metadata:
        raise TgrError(f"{path} is a Parquet file that tgr did not write; {_again(made_by)}")
    if SEAL_KEY not in metadata:
        log.warning(
            "%s has no checksum over its metadata (an earlier tgr wrote it): damage there is not detected", path
        )
    elif metadata[SEAL_KEY] != _seal(metadata[METADATA_KEY], columns):
        raise TgrError(
            f"{path} has damaged or edited metadata or column names (the checksum differs); {_again(made_by)}"
        )
    try:
        provenance = Provenance.from_json(metadata[METADATA_KEY])
    except TgrError as error:
        raise TgrError(f"{path}: {error}; {_again(made_by)}") from error
    schema = KINDS.get(provenance.kind)
    if schema is None:
        raise TgrError(f'{path} is of kind "{provenance.kind}", which tgr does not know; update tgr to read it')
    return schema, provenance, footer.num_rows


def _again(made_by: str) -> str:
    return f'make it with "{made_by}"' if made_by else "name an artifact that tgr wrote"


def read(path: Path, schema: Schema, made_by: str = "", columns: Sequence[str] | None = None) -> Artifact:
    """Return the artifact at `path`, after checks of kind, version, columns and, once loaded, rows.

    `columns` limits what is loaded and checked; older versions that have these columns are accepted, where the schema
    allows it. Raises TgrError if the file is missing, damaged, of another kind or version, its columns differ, or a row
    violates the schema.
    """
    made_by = made_by or schema.command
    found, provenance, rows = describe(path, made_by)
    if found.kind != schema.kind:
        raise TgrError(f'{path} is of kind "{found.kind}", where "{schema.kind}" is expected; {_again(made_by)}')
    later = [name for name in schema.later_than(provenance.version) if columns is None or name in columns]
    if not schema.reads(provenance.version) or later:
        lacking = f" without {', '.join(later)}" if schema.reads(provenance.version) else ""
        raise TgrError(
            f"{path} has version {provenance.version} of {schema.kind}{lacking}, this tgr reads {schema.version}; "
            f"{_again(made_by)}"
        )
    try:
        table = pq.read_table(path, columns=columns and list(columns), page_checksum_verification=True)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise TgrError(f"{path} is damaged and cannot be read; {_again(made_by)}") from error
    if table.num_rows != rows:
        raise TgrError(f"{path} is damaged ({table.num_rows:,} of {rows:,} rows can be read); {_again(made_by)}")
    expected = schema.arrow if columns is None else pa.schema([schema.arrow.field(name) for name in columns])
    if not table.schema.equals(expected):
        raise TgrError(f"{path} differs from {schema.kind} in {_differing(table.schema, expected)}; {_again(made_by)}")
    if impossible := first_impossible(table, schema):
        raise TgrError(f"{path} has rows that {schema.kind} cannot have: {impossible}; {_again(made_by)}")
    return Artifact(path, table, provenance)


def _differing(found: pa.Schema, expected: pa.Schema) -> str:
    if names := sorted(set(found.names) ^ set(expected.names)):
        return ", ".join(names)
    if found.names != expected.names:
        return f"the order of its columns ({', '.join(found.names[:3])}, … where {', '.join(expected.names[:3])}, … is)"
    wrong = [field.name for field in expected if not found.field(field.name).equals(field)]
    return f"the type of {', '.join(wrong)}"


def provenance_for(schema: Schema, **facts: Any) -> Provenance:
    """Return a provenance of this schema's kind and version with the fields `facts`."""
    return replace(Provenance(kind=schema.kind, version=schema.version), **facts)
