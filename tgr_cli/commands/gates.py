"""Exit code of a failed gate."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from tgr_cli.metrics.summary import Gate

GATES = "Gates"  # panel in --help
GATE_FAILED = 3


def refuse_unless_passed(gate: "Gate | None") -> None:
    """Report a failed gate, and exit with its code."""
    if gate is not None and gate.verdict != "passed":
        typer.echo(f"tgr: gate {gate.verdict}: {gate.sentence}", err=True)
        raise typer.Exit(GATE_FAILED)
