"""Files that are whole or absent: atomic writes, and reads that check what a file says of itself first."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tgr_cli.artifacts.provenance import Provenance, sha256_file
from tgr_cli.artifacts.schemas import KINDS, Schema
from tgr_cli.errors import TgrError

METADATA_KEY = b"tgr"
WRITTEN: Mapping[str, Any] = {"compression": "zstd", "write_page_checksum": True}  # zstd alone lets most bit rot pass


@dataclass(frozen=True)
class Artifact:
    """An artifact that was read: its rows, what it says of itself, and where it lies."""

    path: Path
    table: pa.Table
    provenance: Provenance

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the file, as recorded by whatever is made from it."""
        return sha256_file(self.path)

    def column(self, name: str) -> Any:
        """Return one column as a numpy array."""
        return self.table.column(name).to_numpy()


def prepare(path: Path, *read: Path | None) -> Path:
    """Make the folder of an output and return its path; raises TgrError where nothing can be written there.

    Steps call it before they work, so that an hour's campaign does not end at a folder that cannot be written. `read`
    are inputs that the user named, which the output must not take the place of.
    """
    if path.is_dir():
        raise TgrError(f"{path} is a folder, where a file is to be written; name a file")
    if path.resolve() in {named.resolve() for named in read if named is not None}:
        raise TgrError(f"{path} is read, and the output would take its place; write to another file with --out")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise TgrError(
            f"{path.parent} cannot be written ({error.strerror}); choose another place with --workdir or --out"
        ) from error
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` when the block ends well, remove it otherwise."""
    prepare(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    temporary.chmod(0o666 & ~_umask())
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise TgrError(f"{path} could not be written ({error.strerror}); free the place and run again") from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_json(path: Path, value: Any) -> Path:
    """Write `value` as JSON, whole or not at all, and return the path."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def run_record(path: Path) -> Path:
    """Return where the run record of the artifact at `path` lies."""
    return path.with_name(f"{path.stem}.run.json")


def write(path: Path, schema: Schema, rows: Mapping[str, Any] | pa.Table, provenance: Provenance) -> Path:
    """Write `rows` as an artifact of kind `schema`, whole or not at all, and return the path.

    `rows` maps every column of the schema to its values; a column too many or too few is our own mistake.
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
    table = table.replace_schema_metadata({METADATA_KEY: provenance.to_json().encode()})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, **WRITTEN)
    return path


@contextmanager
def streaming(path: Path, schema: Schema, provenance: Provenance) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Give a function that writes rows, as columns by name, to an artifact that may be larger than the memory.

    The artifact is there, whole, when the block ends well, and not at all otherwise.
    """
    assert provenance.kind == schema.kind
    arrow = schema.arrow.with_metadata({METADATA_KEY: provenance.to_json().encode()})
    with replacing(path) as temporary, pq.ParquetWriter(temporary, arrow, **WRITTEN) as writer:
        yield lambda rows: writer.write_table(pa.table({name: rows[name] for name in arrow.names}, schema=arrow))


def describe(path: Path, made_by: str = "") -> tuple[Schema, Provenance, int]:
    """Return an artifact's schema, provenance and number of rows from its footer; raises TgrError where it is none.

    `made_by` is the command that would make the file, named where it is missing.
    """
    if not path.exists():
        hint = f'; run "{made_by}" first' if made_by else ""
        raise TgrError(f"{path} does not exist{hint}")
    try:
        footer = pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise TgrError(
            f"{path} is not a whole Parquet file (truncated, or another format); {_again(made_by)}"
        ) from error
    text = (footer.metadata or {}).get(METADATA_KEY)
    if text is None:
        raise TgrError(f"{path} is a Parquet file that tgr did not write; {_again(made_by)}")
    try:
        provenance = Provenance.from_json(text.decode(errors="replace"))
    except TgrError as error:
        raise TgrError(f"{path}: {error}") from error
    schema = KINDS.get(provenance.kind)
    if schema is None:
        raise TgrError(f'{path} is of kind "{provenance.kind}", which tgr does not know; update tgr to read it')
    return schema, provenance, footer.num_rows


def _again(made_by: str) -> str:
    return f'make it with "{made_by}"' if made_by else "name an artifact that tgr wrote"


def read(path: Path, schema: Schema, made_by: str = "", columns: Sequence[str] | None = None) -> Artifact:
    """Return the artifact at `path`, its kind, version and columns checked before its rows are loaded.

    `columns` limits what is loaded and checked to these; a file of an earlier version that has them all is read as
    well, where the schema allows it. Raises TgrError where the file is missing, damaged, of another kind or version, or
    its columns differ.
    """
    made_by = made_by or schema.command
    found, provenance, _ = describe(path, made_by)
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
    except (pa.ArrowException, OSError) as error:
        raise TgrError(f"{path} is damaged and cannot be read; {_again(made_by)}") from error
    expected = schema.arrow if columns is None else pa.schema([schema.arrow.field(name) for name in columns])
    if not table.schema.equals(expected):
        differing = sorted(set(table.schema.names) ^ set(expected.names)) or ["a column's type"]
        raise TgrError(f"{path} differs from {schema.kind} in {', '.join(differing)}; {_again(made_by)}")
    return Artifact(path, table, provenance)


def provenance_for(schema: Schema, **facts: Any) -> Provenance:
    """Return a provenance of this schema's kind and version with `facts` filled in."""
    return replace(Provenance(kind=schema.kind, version=schema.version), **facts)
