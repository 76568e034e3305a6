"""Lineage: the page's table of artifacts, their commands and inputs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tgr_cli.artifacts import run_records, store
from tgr_cli.artifacts.layout import Workspace
from tgr_cli.artifacts.provenance import Provenance, sha256_file
from tgr_cli.paths import real
from tgr_cli.report.figure import NONE, Block

SHORT = 12  # digits of a SHA-256 shown


@dataclass(frozen=True)
class Made:
    """An artifact: its name within the data set's folder, SHA-256, provenance, and the command line that wrote it."""

    name: str
    sha256: str
    provenance: Provenance
    command: str | None


def artifacts(workspace: Workspace, folders: Sequence[Path]) -> Iterator[Made]:
    """Yield the data set's artifacts that the runs in these folders were made from, then the runs' own artifacts."""
    shared = [_made(path, workspace) for path in sorted(workspace.path.glob("*.parquet"))]
    own = [
        _made(path, workspace)
        for folder in dict.fromkeys(folders)
        for path in sorted(folder.glob("*.parquet"), key=lambda path: (_place(path), path.name))
    ]
    used, before = {digest for made in own for digest in made.provenance.inputs.values()}, -1
    while len(used) != before:  # follow inputs transitively
        before = len(used)
        used |= {d for made in shared if made.sha256 in used for d in made.provenance.inputs.values()}
    yield from sorted((made for made in shared if made.sha256 in used), key=lambda made: len(made.provenance.inputs))
    yield from own


def _place(path: Path) -> int:
    order = ("training", "golden", "ranges", "plan", "injections", "vulnerability", "feature_maps")
    kind = path.stem.split("-")[0]
    return order.index(kind) if kind in order else len(order)


def _made(path: Path, workspace: Workspace) -> Made:
    record = run_records.read(path, "command")
    command = str(record["command"]) if record else None
    inside = path.is_relative_to(workspace.path)
    name = path.relative_to(workspace.path) if inside else Path(real(path.parent).name) / path.name
    return Made(name.as_posix(), sha256_file(path), store.describe(path)[1], command)


def table(artifacts: Sequence[Made]) -> Block:
    """Return one row per artifact: kind, command, inputs, version of tgr, and model."""
    names = {made.sha256: made.name for made in artifacts}
    rows = [
        (
            made.name,
            made.command or "not recorded",
            _inputs(made.provenance.inputs, names) or NONE,
            NONE if made.provenance.seed is None else str(made.provenance.seed),
            str(made.provenance.model)[:SHORT] if made.provenance.model else NONE,
            made.sha256[:SHORT],
            made.provenance.tgr,
        )
        for made in artifacts
    ]
    return Block(
        ("file", "made by", "from", "seed", "model", "SHA-256", "tgr"),
        rows,
        "Inputs are identified by the SHA-256 recorded in each artifact: by name if the file was found, else by the "
        f"first {SHORT} digits. The model is the fingerprint of its weights. tgr show FILE prints more.",
        code="made by",
    )


def _inputs(inputs: Mapping[str, str], names: Mapping[str, str]) -> str:
    return ", ".join(names.get(digest, f"{role} {digest[:SHORT]}") for role, digest in inputs.items())
