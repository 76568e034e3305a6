"""Descriptions from other tools' files, matched to the classes by name: CuPL's JSON, or CSV."""

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from tgr_cli import documents
from tgr_cli.artifacts.provenance import sha256_file
from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.naming import composed
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.text.answer_cleaning import sentence
from tgr_cli.text.generators import Description
from tgr_cli.text.sanitising import clean

CLASS, DESCRIPTION, QUESTION = "class", "description", "question"
LARGEST = 2**26  # characters of a file
UTF8_BYTES = 4  # maximum bytes of a UTF-8 character
SHOWN = 80  # characters of an entry quoted in a note
NAMED = 10  # names listed in a note; the rest are counted


@dataclass(frozen=True)
class Text:
    """One description in a file, and its question ("" if the file has none)."""

    text: str
    question: str = ""


@final
class Imported:
    """The descriptions in a file: JSON {class: [sentence, …]} as in CuPL, or CSV with columns class and description.

    CSV may have a column question too; both may be compressed (.gz). `unmatched` are classes of the file that are not
    in the data set.
    """

    name = "imported"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.texts = _read(path)
        self.sha256 = sha256_file(path)

    def describe(self, classes: Sequence[str], reporter: Reporter = SILENT) -> Iterator[Description]:
        """Yield the file's descriptions of these classes; the file's other classes are listed in a note.

        A class takes the entry of its exact name, else the one that differs only in case, spaces or punctuation. Raises
        TgrError where classes have no entry, naming them, or where a class matches two.
        """
        entries = self._matched(classes)
        missing = [name for name, entry in zip(classes, entries, strict=True) if entry is None]
        unmatched = [entry for entry in self.texts if entry not in set(entries)]
        if missing:
            hint = did_you_mean(missing[0], unmatched)
            raise TgrError(
                f"{self.path} describes none of {_named(missing)}, {len(missing)} of {len(classes)} classes"
                + (f"; it has {_named(unmatched)} left over" if unmatched else "")
                + f"; add them, or rename its entries after the classes.{hint}"
            )
        if unmatched:
            reporter.note(
                f"{self.path.name} describes {len(unmatched)} classes that this data set does not have: "
                f"{_named(unmatched)}"
            )
        twice = sorted({name for name in classes if classes.count(name) > 1})
        if twice:
            reporter.note(f"classes of one name have the same descriptions: {_named(twice)}")
        changed = trimmed = 0
        without: Counter[str] = Counter()
        example = ""
        for index, (name, entry) in enumerate(zip(classes, entries, strict=True)):
            for number, text in enumerate(self.texts[str(entry)]):
                found = sentence(text.text)
                changed += bool(found.removed or found.cut)
                trimmed += bool(found.trimmed)
                without[found.status] += found.status != "ok"
                example = example or (clean(text.text, longest=SHOWN).text if found.status != "ok" else "")
                yield Description(
                    class_index=index,
                    number=number,
                    class_name=name,
                    question=clean(text.question).text,
                    text=found.text,
                    status=found.status,
                    source=self.name,
                )
        if changed:
            reporter.note(f"{changed} descriptions of {self.path.name} were cleaned of control characters, or cut")
        if trimmed:
            reporter.note(
                f"{trimmed} descriptions of {self.path.name} had thoughts, markup or phrases around them taken off"
            )
        left_out = {status: number for status, number in without.items() if number}
        if left_out:
            counted = ", ".join(f"{number} {status}" for status, number in sorted(left_out.items()))
            reporter.note(
                f"{sum(left_out.values())} entries of {self.path.name} hold no description ({counted}), as '{example}'"
            )

    def _matched(self, classes: Sequence[str]) -> list[str | None]:
        alike: dict[str, list[str]] = {}
        for entry in self.texts:
            alike.setdefault(_comparable(entry), []).append(entry)
        found: list[str | None] = []
        for name in classes:
            near = [name] if name in self.texts else alike.get(_comparable(name), [])
            if len(near) > 1:
                raise TgrError(f'{self.path} has {_named(near)}, and either could be "{name}"; rename one of them')
            found.append(near[0] if near else None)
        return found


def _comparable(name: str) -> str:
    return "".join(c for c in composed(name).casefold() if c.isalnum())


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(f'"{name}"' for name in names[:NAMED]) + more


def _read(path: Path) -> Mapping[str, list[Text]]:
    suffix = Path(path.name.removesuffix(".gz")).suffix
    if suffix not in (".json", ".csv"):
        raise TgrError(f"{path} is neither .json nor .csv (nor one of them with .gz); descriptions are read from those")
    try:
        written = documents.read_bytes(path)
        content = documents.text(_unpacked(written) if path.suffix == ".gz" else written)
    except documents.MalformedError as error:
        raise TgrError(f"{path} {error}; name a JSON or CSV file of descriptions with --from-file") from error
    if len(content) > LARGEST:
        raise TgrError(f"{path} holds more than {LARGEST:,} characters; give the descriptions of one data set")
    texts = _from_json(path, content) if suffix == ".json" else _from_csv(path, content)
    if not texts:
        raise TgrError(f"{path} describes no class; give at least one")
    return texts


def _unpacked(written: bytes) -> bytes:
    """Return the content of a gzip file, read only far enough to detect that it is too large."""
    try:
        with gzip.open(io.BytesIO(written)) as file:
            return file.read(UTF8_BYTES * LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise documents.MalformedError("is no whole gzip file") from error


def _from_json(path: Path, content: str) -> dict[str, list[Text]]:
    try:
        entries: Any = documents.parse_json(content)
    except documents.MalformedError as error:
        raise TgrError(f"{path} {error}; mend it") from error
    if not isinstance(entries, dict):
        raise TgrError(f"{path} holds no JSON object; it should be {{class: [sentence, …], …}}")
    for name, texts in entries.items():
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise TgrError(f'{path}: what "{name}" has is no list of sentences; it should be {{class: [sentence, …]}}')
    return {name: [Text(text) for text in texts] for name, texts in entries.items()}


def _from_csv(path: Path, content: str) -> dict[str, list[Text]]:
    texts: dict[str, list[Text]] = {}
    rows = csv.DictReader(io.StringIO(content, newline=""), strict=True)
    try:
        header = rows.fieldnames or []
        if not {CLASS, DESCRIPTION} <= set(header) <= {CLASS, DESCRIPTION, QUESTION}:
            raise TgrError(
                f"{path} begins with {','.join(header) or 'nothing'}; its first line should be class,description, or "
                "class,question,description"
            )
        for row in rows:
            if None in row or None in row.values() or not row[CLASS].strip():
                raise TgrError(f"{path}, line {rows.line_num}: {len(header)} cells are expected, the class not empty")
            texts.setdefault(row[CLASS].strip(), []).append(Text(row[DESCRIPTION], row.get(QUESTION, "")))
    except csv.Error as error:
        raise TgrError(f"{path}, line {rows.line_num}, is no valid CSV ({error}); mend it") from error
    return texts
