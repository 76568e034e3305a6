"""Shards of campaigns by path, folder or pattern, and the command that makes one of them."""

import shlex
from collections.abc import Sequence
from glob import has_magic
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tgr_cli.artifacts import run_records, store
from tgr_cli.artifacts.layout import SUFFIX
from tgr_cli.artifacts.outputs import METADATA_KEY
from tgr_cli.artifacts.schemas import SHARD
from tgr_cli.errors import TgrError, found_at
from tgr_cli.paths import bring, matching


def gather(named: Sequence[Path]) -> list[Path]:
    """Return the named shards and those in named folders, each once; a pattern names what it matches, as "part-*".

    Raises TgrError for a path that does not exist, and for a folder or pattern without a shard.
    """
    return list(dict.fromkeys(path for name in named for path in _those(name)))


def _those(name: Path) -> list[Path]:
    if name.is_file():
        return [name]
    if name.is_dir():
        what, found = "holds", [name]
    elif has_magic(str(name)):
        what, found = "matches", matching(name)
    else:
        raise TgrError(f'{name} {found_at(name)}; run "{SHARD.command}" first')
    files = [file for path in found for file in ([path] if path.is_file() else sorted(path.glob(f"*{SUFFIX}")))]
    bring(file for file in files if file.suffix == SUFFIX)
    if shards := [file for file in files if _is_shard(file)]:
        return shards
    hint = ", and [ ] stand for one of these characters" if "[" in str(name) else ""
    raise TgrError(f'{name} {what} no shard among {len(files):,} files{hint}; run "{SHARD.command}" first')


def _is_shard(file: Path) -> bool:
    """Return whether this file is a shard; raises TgrError if it is damaged, as it may be one."""
    if file.suffix != SUFFIX or not file.is_file():
        return False
    try:
        written_by_tgr = METADATA_KEY in (pq.read_metadata(file).metadata or {})
    except (pa.ArrowException, OSError, ValueError):
        written_by_tgr = True
    return written_by_tgr and store.describe(file, SHARD.command)[0].kind == SHARD.kind


def command_for(shard: Path, number: int, count: int) -> str | None:
    """Return the command line that makes shard `number` of the campaign of `shard`, or None if none is recorded.

    With --out, if `shard` was made with it, as a file beside `shard`.
    """
    record = run_records.read(shard, "command")
    words = shlex.split(str(record["command"])) if record else []
    changed = {"--shard": f"{number}/{count}", "--out": str(shard.parent / f"shard-{number}-of-{count}.parquet")}
    for place, word in enumerate(words):
        option, equals, _ = word.partition("=")
        if option in changed and equals:
            words[place] = f"{option}={changed[option]}"
        elif place and words[place - 1] in changed:
            words[place] = changed[words[place - 1]]
    return shlex.join(words) if any(word.partition("=")[0] == "--shard" for word in words) else None
