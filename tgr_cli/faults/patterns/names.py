"""Patterns by name, as `row` or `block:height=2,width=3`, and from files."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tgr_cli import documents
from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.faults.grammar import Count, Entry
from tgr_cli.faults.option_names import known_pattern
from tgr_cli.faults.patterns.by_operation import OF_A_FILE, ByOperation, Likely
from tgr_cli.faults.patterns.channel import Channel
from tgr_cli.faults.patterns.element import Element
from tgr_cli.faults.patterns.layout import Offset
from tgr_cli.faults.patterns.line import Column, Row
from tgr_cli.faults.patterns.offsets import Offsets, block
from tgr_cli.faults.patterns.pattern import Pattern
from tgr_cli.faults.patterns.several import Several
from tgr_cli.faults.sites import OPS, TARGETS

LARGEST, MOST = 1024, 65536
OPERATIONS = (*OPS, *TARGETS[1:])
ROUNDED = 0.005  # published probabilities are rounded
SIDE = Count(1, LARGEST, example=2)
PATTERNS: Mapping[str, Entry] = {
    "element": Entry(Element),
    "row": Entry(Row),
    "column": Entry(Column),
    "channel": Entry(Channel),
    "block": Entry(block, {"height": SIDE, "width": SIDE}),
    "several": Entry(lambda name, count: Several(name, count), {"count": Count(2, MOST, example=2)}),
}
EXAMPLE = 'write for each operation a list of patterns, as [[conv]] with pattern = "row" and probability = 1.0'


def pattern_named(text: str) -> Pattern:
    """Return the pattern of this name; raises TgrError for any other text.

    >>> pattern_named("block:width=3,height=1").name
    'block:height=1,width=3'
    """
    name, rest = known_pattern(text)
    entry = PATTERNS[name]
    values = entry.parsed(name, rest, f'--pattern is "{text}"')
    found: Pattern = entry.make(name=entry.named(name, values), **values)
    return found


def pattern_from(path: Path) -> Pattern:
    """Return the patterns of a TOML or JSON file; raises TgrError where it does not describe any."""
    read = documents.read_json if path.suffix == ".json" else documents.read_toml
    table = read(path, EXAMPLE)
    if not isinstance(table, dict) or not table:
        raise TgrError(f"{path} describes no patterns; {EXAMPLE}")
    for op in table:
        _refuse_other(f"{path}: an operation", op, OPERATIONS)
    patterns = {op: _of_operation(f"{path}, {op}", rows) for op, rows in table.items()}
    described = "; ".join(
        f"{op} {', '.join(f'{share!r} {pattern.name}' for share, pattern in likely)}" for op, likely in patterns.items()
    )
    return ByOperation(f"{OF_A_FILE}{described}", str(path), patterns)


def pattern_of(name: str, path: Path | None) -> Pattern:
    """Return the pattern of a file, if there is one, else of this name."""
    return pattern_named(name) if path is None else pattern_from(path)


def _of_operation(where: str, rows: Any) -> tuple[Likely, ...]:
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise TgrError(f"{where}: a list of patterns is expected; {EXAMPLE}")
    found = [(_probability(where, row), _pattern(where, row)) for row in rows]
    total = sum(share for share, _ in found)
    if abs(total - 1) > ROUNDED:
        raise TgrError(f"{where}: the probabilities add up to {total:.6g}; they must add up to 1")
    return tuple((share / total, pattern) for share, pattern in found)


def _probability(where: str, row: Mapping[str, Any]) -> float:
    share = row.get("probability")
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise TgrError(f"{where}: the probability of {_short(row)} is {share}; give a number above 0, at most 1")
    return float(share)


def _pattern(where: str, row: Mapping[str, Any]) -> Pattern:
    known = ("pattern", "offsets", "probability")
    for key in row:
        _refuse_other(f"{where}: a key of {_short(row)}", key, known)
    if ("pattern" in row) == ("offsets" in row):
        raise TgrError(f"{where}: {_short(row)} needs either a pattern, as row, or offsets, as [[0, 0, 1]]")
    if "offsets" in row:
        offsets = _offsets(where, row["offsets"])
        return Offsets(f"offsets {json.dumps(offsets, separators=(',', ':'))}", offsets)
    if not isinstance(row["pattern"], str):
        raise TgrError(f"{where}: pattern is {row['pattern']}; name one of {', '.join(PATTERNS)}")
    try:
        return pattern_named(row["pattern"])
    except TgrError as error:
        raise TgrError(f"{where}: {error}") from error


def _offsets(where: str, listed: Any) -> tuple[Offset, ...]:
    whole = isinstance(listed, list) and all(
        isinstance(each, list) and len(each) == 3 and all(type(step) is int and abs(step) <= MOST for step in each)
        for each in listed
    )
    if not whole or not 0 < len(listed) <= LARGEST:
        raise TgrError(
            f"{where}: offsets is {str(listed)[:60]}; write up to {LARGEST} lists of three whole numbers, how many "
            "channels, rows and columns from the anchor, as [[0, 0, 1], [1, 0, 0]]"
        )
    found = tuple((each[0], each[1], each[2]) for each in listed)
    if len(set(found)) < len(found):
        raise TgrError(f"{where}: offsets {str(listed)[:60]} names a place twice; name each once")
    return found


def _refuse_other(what: str, word: str, known: Collection[str]) -> None:
    if word not in known:
        raise TgrError(f'{what} is "{word}"; use one of {", ".join(known)}.{did_you_mean(word, known)}')


def _short(row: Mapping[str, Any]) -> str:
    return str({name: value for name, value in row.items() if name != "probability"})[:60]
