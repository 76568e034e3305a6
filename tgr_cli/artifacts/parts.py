"""The finished parts of a campaign: files with checksums, in a folder with a lock.

The folder `<output>.parts/` is beside the output and is removed once the output is written. A killed process leaves its
finished parts; the OS releases its lock. In a store there is no lock, and none is needed: a part's name has the SHA-256
of its content, so two processes of one campaign write the same parts, and the same output.
"""

import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tgr_cli import documents
from tgr_cli.artifacts import store
from tgr_cli.artifacts.folder_lock import locked
from tgr_cli.artifacts.layout import parts_beside
from tgr_cli.errors import TgrError, found_at
from tgr_cli.paths import bring, is_stored, remove_folder

OWN = re.compile(r"lock|campaign\.json|(?:plan|pilot)\.parquet|[a-z]+-\d+-[0-9a-f]*.*\.parquet|\..*\.tmp")
PART = re.compile(r"([a-z]+)-(\d+)-([0-9a-f]{64})\.parquet")  # stage, unit, SHA-256 of the file


class Parts:
    """The parts of one output, for the process that holds their lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._described = False

    @classmethod
    @contextmanager
    def beside(cls, output: Path, *others: Path, restart: bool = False) -> Iterator["Parts"]:
        """Provide the parts of `output` under an exclusive lock; `restart` discards existing ones.

        Temporary files of a killed process are removed, for the parts, `output`, and `others` written with it. A folder
        without a description (see `describe`) is cleared at the start; if it has none at the end, it is removed. Raises
        TgrError if another process holds the lock.
        """
        parts = cls(parts_beside(output))
        parts._refuse_strangers()
        parts.folder.mkdir(parents=True, exist_ok=True)
        busy = f"another process is writing {output}; wait until it is done, or choose another place with --out"
        with locked(parts.folder / "lock", busy):
            parts._described = not restart and parts._about.exists()
            if not parts._described:
                parts._clear()
            halves = [path.parent.glob(f".{path.name}.*.tmp") for path in (output, *others)]
            for abandoned in chain(parts.folder.glob(".*.tmp"), *halves):
                abandoned.unlink()
            try:
                yield parts
            finally:
                if not parts._described:
                    remove_folder(parts.folder)

    @property
    def _about(self) -> Path:
        return self.folder / "campaign.json"

    def about(self) -> dict[str, Any] | None:
        """Return the description stored by `describe`, or None."""
        if not self._about.exists():
            return None
        then = f"discard what {self.folder} keeps with --restart"
        about = documents.read_json(self._about, then)
        if not isinstance(about, dict) or not all(isinstance(about.get(name), dict) for name in ("campaign", "plans")):
            raise TgrError(f"{self._about} is damaged: it does not describe a campaign; {then}")
        return about

    def describe(self, about: Mapping[str, Any]) -> None:
        """Store the description of the campaign; from then on the folder is kept."""
        store.write_json(self._about, about)
        self._described = True

    def write(self, stage: str, unit: int, table: pa.Table) -> None:
        """Store the rows of a finished unit, atomically."""
        written = content(table)
        with store.replacing(self.folder / f"{stage}-{unit:06}-{sha256(written).hexdigest()}.parquet") as temporary:
            temporary.write_bytes(written)

    def finished(self, stage: str) -> tuple[dict[int, pa.Table], list[str]]:
        """Return the rows of every finished unit of a stage, and the names of damaged files, which are removed.

        If two files claim one unit, one was renamed, and neither is kept.
        """
        tables, damaged = {}, []
        paths = sorted(self.folder.glob(f"{stage}-*.parquet"))
        bring(paths)
        claims = Counter(found[2] for path in paths if (found := PART.fullmatch(path.name)))
        for path in paths:
            found = PART.fullmatch(path.name)
            try:
                written = path.read_bytes()
            except FileNotFoundError:  # in a store, another process of this campaign ends, and removes its parts
                continue
            if found is None or claims[found[2]] > 1 or sha256(written).hexdigest() != found[3]:
                damaged.append(path.name)
                path.unlink()
                continue
            try:
                tables[int(found[2])] = pq.read_table(io.BytesIO(written))
            except (pa.ArrowException, OSError, ValueError) as error:
                raise TgrError(f"{path} is no part of a campaign; discard {self.folder} with --restart") from error
        return tables, damaged

    def done(self) -> None:
        """Mark the parts as obsolete: the folder is removed on exit."""
        self._about.unlink(missing_ok=True)
        self._described = False

    def _refuse_strangers(self) -> None:
        """Raise TgrError if the path is not a folder, or the folder contains files that tgr did not write."""
        if not self.folder.is_dir():
            if self.folder.exists() or self.folder.is_symlink():
                raise TgrError(f"{self.folder} {found_at(self.folder)}, where a folder is to be made; move it")
            return
        for path in self.folder.iterdir():
            if not (OWN.fullmatch(path.name) and (is_stored(path) or path.is_file() or path.is_symlink())):
                raise TgrError(
                    f"{self.folder} holds {path.name}, which is no part of a campaign and would be removed; move it, "
                    "or write to another file with --out"
                )

    def _clear(self) -> None:
        self._about.unlink(missing_ok=True)
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path.name != "lock":
                path.unlink()


def content(table: pa.Table) -> bytes:
    """Return the bytes of a part's file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
