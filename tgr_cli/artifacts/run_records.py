"""Run records: the JSON file beside an artifact, with the command line that made it, its host, times and options."""

from pathlib import Path
from typing import Any

from tgr_cli import documents
from tgr_cli.artifacts.outputs import run_record
from tgr_cli.errors import TgrError


def read(artifact: Path, *keys: str) -> dict[str, Any] | None:
    """Return the run record of an artifact, or None if there is none; raises TgrError if it lacks one of `keys`."""
    path = run_record(artifact)
    if not path.exists():
        return None
    record = documents.read_json(path, "delete it, the artifact does not need it")
    if not isinstance(record, dict) or not record.keys() >= set(keys):
        raise malformed(artifact)
    return record


def malformed(artifact: Path) -> TgrError:
    """Return the error for the run record of an artifact that is none."""
    return TgrError(f"{run_record(artifact)} is no run record of tgr; delete it, the artifact does not need it")
