"""Lineage: the page's table of artifacts, their commands and inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tgr_cli.artifacts.provenance import Provenance
from tgr_cli.report.figure import NONE, Block

SHORT = 12  # digits of a SHA-256 shown


@dataclass(frozen=True)
class Made:
    """An artifact: its name within the data set's folder, SHA-256, provenance, and the command line that wrote it."""

    name: str
    sha256: str
    provenance: Provenance
    command: str | None


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
