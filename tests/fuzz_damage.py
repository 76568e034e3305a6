"""Ways to damage files: each takes a generator of random numbers and a file's content, and returns other content.

Damage that a checksum finds is only a part of it: rows and metadata are also edited and sealed again, as a program or
a person that means well may do.
"""

import io
import json
from collections.abc import Callable
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tgr_cli.artifacts import store
from tgr_cli.artifacts.outputs import METADATA_KEY

Damage = Callable[[Random, bytes], bytes]

NUMBERS = (
    *(0, 1, -1, 2, 2**31, 2**63 - 1, -(2**63), 2**64, 10**30, 0.5, -0.0),
    *(1e-320, 1e308, -1e308, float("inf"), float("nan")),
)
TEXTS = (
    *("", " ", "x", "x" * 5000, "é", "e\u0301", "\u202eab", "\x1b[31m", "a/b", "../x", "=1+1", "{", "{x}", "%s"),
    *("\U0001f600", "a\nb", "None", "nan", "-1", "9" * 400, "[bold]", "\ufeffa", "sdc", "fc", "conv1"),
)
VALUES = (None, True, False, *NUMBERS, *TEXTS, [], {}, [[]], [None], {"a": 1}, [1, 2, 3], ["fc"], [{"site": "fc"}])


def flipped(random: Random, content: bytes) -> bytes:
    """Flip one to four bits anywhere."""
    changed = bytearray(content)
    for _ in range(random.randint(1, 4) if content else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def flipped_at_an_end(random: Random, content: bytes) -> bytes:
    """Flip a bit in the first or last 512 bytes, where headers and footers lie."""
    changed = bytearray(content)
    if changed:
        place = random.randrange(min(512, len(changed)))
        changed[random.choice((place, -1 - place))] ^= 1 << random.randrange(8)
    return bytes(changed)


def cut(random: Random, content: bytes) -> bytes:
    """Keep a part: of the beginning, or of the end, or nothing."""
    place = random.randint(0, len(content))
    return random.choice((content[:place], content[:place], content[place:], b""))


def rearranged(random: Random, content: bytes) -> bytes:
    """Repeat, remove, overwrite or insert a run of bytes."""
    first, last = sorted(random.randint(0, len(content)) for _ in range(2))
    last = min(last, first + 200)
    piece = content[first:last]
    put = random.choice((b"", piece * 2, bytes(len(piece)), random.randbytes(len(piece)), b"\n", b"\xff\xfe", b'"' * 3))
    return content[:first] + put + content[last:]


def doubled(random: Random, content: bytes) -> bytes:
    """Repeat the whole, as two processes that append to one file do."""
    return content * random.choice((2, 2, 3))


BYTES: tuple[Damage, ...] = (flipped, flipped_at_an_end, cut, rearranged, doubled)


def edited(random: Random, value: Any) -> Any:
    """Return a JSON value with one place in it replaced, removed, renamed or repeated."""
    if isinstance(value, dict) and value and random.random() < 0.85:
        key = random.choice(sorted(value))
        kept = {name: item for name, item in value.items() if name != key}
        chance = random.random()
        if chance < 0.1:
            return kept
        if chance < 0.2:
            return kept | {random.choice(TEXTS): value[key]}
        return value | {key: edited(random, value[key])}
    if isinstance(value, list) and value and random.random() < 0.75:
        place = random.randrange(len(value))
        chance = random.random()
        if chance < 0.2:
            return value[:place] + value[place + 1 :]
        if chance < 0.4:
            return value[:place] + value[place:] + value[place : place + 1]
        return [*value[:place], edited(random, value[place]), *value[place + 1 :]]
    return random.choice(VALUES)


def json_edited(random: Random, content: bytes) -> bytes:
    value = edited(random, json.loads(content))
    if random.random() < 0.05:
        value = {"z": value}
        return b'{"z":' * 3000 + json.dumps(value).encode() + b"}" * 3000
    return json.dumps(value).encode()


def lines_edited(random: Random, content: bytes) -> bytes:
    """Remove, repeat or swap lines of a text, or put another text or number in place of one of their words."""
    lines = content.decode(errors="surrogateescape").split("\n")
    place = random.randrange(len(lines))
    chance = random.random()
    if chance < 0.15:
        del lines[place]
    elif chance < 0.3:
        lines.insert(place, random.choice(lines))
    elif chance < 0.4:
        lines[place] = random.choice(TEXTS)
    else:
        separator = random.choice((",", "=", '"', " "))
        cells = lines[place].split(separator)
        cells[random.randrange(len(cells))] = str(random.choice((*VALUES, '"', "'''", "[" * 300)))
        lines[place] = separator.join(cells)
    return "\n".join(lines).encode(errors="surrogateescape")


def rows_edited(random: Random, content: bytes) -> bytes:
    """Change a cell of a Parquet table, or remove, repeat or reorder its rows; what it says of itself stays."""
    table = pq.read_table(io.BytesIO(content))
    chance, count = random.random(), table.num_rows
    if chance < 0.15 or not count:
        changed = table.slice(random.randint(0, count), random.randint(0, count))
    elif chance < 0.3:
        changed = table.take([random.randrange(count) for _ in range(random.randint(1, 2 * count))])
    else:
        place = random.randrange(table.num_columns)
        field, cells = table.schema.field(place), table.column(place).to_pylist()
        row = random.randrange(count)
        for _ in range(20):  # until a value fits the type
            try:
                cells[row] = random.choice((*VALUES, cells[row - 1], [cells[row]] * 2, float("nan"), [float("nan")]))
                field = field.with_nullable(field.nullable or cells[row] is None)
                changed = table.set_column(place, field, pa.array(cells, field.type))
                break
            except (pa.ArrowException, OverflowError, TypeError, ValueError):
                changed = table
    return _parquet(changed, table.schema.metadata or {})


def columns_edited(random: Random, content: bytes) -> bytes:
    """Remove, rename, repeat, reorder or cast the columns of a Parquet table, sealed again."""
    table = pq.read_table(io.BytesIO(content))
    place = random.randrange(table.num_columns)
    column, name = table.column(place), table.column_names[place]
    chance = random.random()
    if chance < 0.2:
        changed = table.remove_column(place)
    elif chance < 0.4:
        changed = table.rename_columns([random.choice(TEXTS) if n == name else n for n in table.column_names])
    elif chance < 0.5:
        changed = table.append_column(name, column)
    elif chance < 0.6:
        changed = table.select(random.sample(table.column_names, table.num_columns))
    else:
        kind = random.choice((pa.string(), pa.int32(), pa.float32(), pa.large_string(), pa.binary(), pa.null()))
        try:
            changed = table.set_column(place, name, column.cast(kind))
        except pa.ArrowException:
            changed = table.set_column(place, name, pa.nulls(table.num_rows, kind))
    return _parquet(changed, _sealed(changed, dict(table.schema.metadata or {})))


def metadata_edited(random: Random, content: bytes) -> bytes:
    """Change what an artifact says of itself, or a data set its classes, and seal it again."""
    table = pq.read_table(io.BytesIO(content))
    metadata = dict(table.schema.metadata or {})
    if METADATA_KEY in metadata:
        metadata[METADATA_KEY] = json_edited(random, metadata[METADATA_KEY])
        return _parquet(table, _sealed(table, metadata))
    names = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["dot", "bar", "ring"]}}}}
    key = random.choice((b"classes", b"huggingface", b"x"))
    metadata.pop(b"classes", None)
    return _parquet(table, metadata | {key: json_edited(random, json.dumps(names).encode())})


ARTIFACT: tuple[Damage, ...] = (*BYTES, rows_edited, rows_edited, rows_edited, metadata_edited, metadata_edited)
TABLE: tuple[Damage, ...] = (*ARTIFACT, columns_edited)


def _sealed(table: pa.Table, metadata: dict[bytes, bytes]) -> dict[bytes, bytes]:
    if store.SEAL_KEY in metadata:
        metadata[store.SEAL_KEY] = store._seal(metadata[METADATA_KEY], table.column_names)
    return metadata


def _parquet(table: pa.Table, metadata: dict[bytes, bytes]) -> bytes:
    written = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), written, **store.WRITTEN)
    return written.getvalue()
