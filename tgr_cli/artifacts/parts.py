"""The finished parts of a campaign: files that show themselves whether they are whole, in a folder under a lock.

The folder `<output>.parts/` lies beside the output and goes when the output is written. A process that is killed leaves
its finished parts and nothing in the way: the system gives its lock back.
"""

import io
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from tgr_cli import documents
from tgr_cli.artifacts import store
from tgr_cli.errors import TgrError, found_at

OWN = re.compile(r"lock|campaign\.json|(?:plan|pilot)\.parquet|[a-z]+-\d+-[0-9a-f]*.*\.parquet|\..*\.tmp")
PART = re.compile(r"([a-z]+)-(\d+)-([0-9a-f]{64})\.parquet")  # stage, unit, SHA-256 of the file


class Parts:
    """The parts of one output, for the process that holds their lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @contextmanager
    def beside(cls, output: Path, *others: Path, restart: bool = False) -> Iterator["Parts"]:
        """Give the parts of `output`, with `restart` none; no other process has them at the same time.

        What a killed process left half-written of the parts, of `output` or of the `others` made with it, is removed.
        Without a description, what a folder holds counts for nothing: it is cleared, and removed in the end. Raises
        TgrError where another process holds the lock.
        """
        parts = cls(output.with_name(f"{output.stem}.parts"))
        parts._refuse_strangers()
        parts.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(parts.folder / "lock", blocking=False):
                if restart or not parts._about.exists():
                    parts._clear()
                halves = [path.parent.glob(f".{path.name}.*.tmp") for path in (output, *others)]
                for abandoned in chain(parts.folder.glob(".*.tmp"), *halves):
                    abandoned.unlink()
                try:
                    yield parts
                finally:
                    if not parts._about.exists():
                        shutil.rmtree(parts.folder)
        except Timeout as error:
            raise TgrError(
                f"another process is writing {output}; wait until it is done, or choose another place with --out"
            ) from error

    @property
    def _about(self) -> Path:
        return self.folder / "campaign.json"

    def about(self) -> dict[str, Any] | None:
        """Return what `describe` has stored, None where nothing was."""
        if not self._about.exists():
            return None
        then = f"discard what {self.folder} keeps with --restart"
        about = documents.read_json(self._about, then)
        if not isinstance(about, dict) or not all(isinstance(about.get(name), dict) for name in ("campaign", "plans")):
            raise TgrError(f"{self._about} describes no campaign, as it did when tgr wrote it; {then}")
        return about

    def describe(self, about: Mapping[str, Any]) -> None:
        """Store what the parts belong to; from then on the folder stays when it is left."""
        store.write_json(self._about, about)

    def write(self, stage: str, unit: int, table: pa.Table) -> None:
        """Store the finished rows of a unit, whole or not at all."""
        written = content(table)
        with store.replacing(self.folder / f"{stage}-{unit:06}-{sha256(written).hexdigest()}.parquet") as temporary:
            temporary.write_bytes(written)

    def finished(self, stage: str) -> tuple[dict[int, pa.Table], list[str]]:
        """Return the rows of every finished unit of a stage, and the names of damaged files, which are removed."""
        tables, damaged = {}, []
        for path in sorted(self.folder.glob(f"{stage}-*.parquet")):
            found = PART.fullmatch(path.name)
            written = path.read_bytes()
            if found is None or sha256(written).hexdigest() != found[3]:
                damaged.append(path.name)
                path.unlink()
                continue
            try:
                tables[int(found[2])] = pq.read_table(io.BytesIO(written))
            except (pa.ArrowException, OSError, ValueError) as error:
                raise TgrError(f"{path} is no part of a campaign; discard {self.folder} with --restart") from error
        return tables, damaged

    def done(self) -> None:
        """Let go of the parts: nothing is kept once the folder is left."""
        self._about.unlink(missing_ok=True)

    def _refuse_strangers(self) -> None:
        """Raise TgrError where the folder is no folder, or holds what tgr never puts there: it would be removed."""
        if not self.folder.is_dir():
            if self.folder.exists() or self.folder.is_symlink():
                raise TgrError(f"{self.folder} {found_at(self.folder)}, where a folder is to be made; move it")
            return
        for path in self.folder.iterdir():
            if not (OWN.fullmatch(path.name) and (path.is_file() or path.is_symlink())):
                raise TgrError(
                    f"{self.folder} holds {path.name}, which is no part of a campaign and would be removed; move it, "
                    "or write to another file with --out"
                )

    def _clear(self) -> None:
        self._about.unlink(missing_ok=True)
        for path in self.folder.iterdir():
            if path.name != "lock":
                path.unlink()


def content(table: pa.Table) -> bytes:
    """Return a part as the bytes of its file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
