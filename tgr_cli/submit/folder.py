"""The folder of a divided campaign, beside its output: plan, shards, logs, and which campaign they are of."""

import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tgr_cli import documents
from tgr_cli.artifacts import store
from tgr_cli.campaign.differences import differences
from tgr_cli.errors import TgrError, found_at
from tgr_cli.paths import is_stored

OWN = re.compile(
    r"lock|submission\.json|campaign\.sh|(plan|merge|shard-\d+)\.(log|running)|(plan|shard-\d+-of-\d+)\..*"
)


def beside(output: Path) -> Path:
    """Return the folder for the shards of the campaign with this output.

    It is in the current folder for an output in a store, which has neither locks nor logs that grow.
    """
    if is_stored(output):
        return Path(f"{output.stem}-{sha256(str(output).encode()).hexdigest()[:8]}.shards")
    return output.with_name(f"{output.stem}.shards")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Context manager: create the folder and hold its lock; raises TgrError while another command does."""
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise TgrError(f"{folder} {found_at(folder)}, where a folder is to be made; move it")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", blocking=False):
            yield
    except Timeout as error:
        raise TgrError(
            f'another "tgr submit" looks after {folder}; wait for it, or end it with Ctrl-C first'
        ) from error


def name_of(folder: Path, campaign: Mapping[str, Any]) -> str:
    """Return the name under which a scheduler knows the folder's tasks; it is chosen once and stored with the campaign.

    Raises TgrError if the folder is of another campaign, naming the differences.
    """
    path = folder / "submission.json"
    again = f"remove {folder} to begin anew"
    if not path.exists():
        store.write_json(path, {"name": f"tgr-{secrets.token_hex(4)}", "campaign": campaign})
    stored = documents.read_json(path, again)
    if not isinstance(stored, dict) or not isinstance(stored.get("campaign"), dict) or "name" not in stored:
        raise TgrError(f"{path} is damaged: it does not describe a campaign; {again}")
    if differing := differences(stored["campaign"], campaign):
        raise TgrError(
            f"{folder} holds shards of a campaign with {differing} now; give the same options to go on, choose another "
            f"place with --out, or {again}"
        )
    return str(stored["name"])


def clear(folder: Path) -> None:
    """Remove what is known to be of a divided campaign, and the folder unless something else is in it."""
    for path in folder.iterdir():
        if OWN.fullmatch(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
