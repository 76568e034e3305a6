"""What a command does about a gate that is not passed."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from tgr_cli.metrics.summary import Gate

GATES = "Gates"  # their panel in --help
GATE_FAILED = 3


def refuse_unless_passed(gate: "Gate | None") -> None:
    """Tell which gate is not passed, and end the command with its exit code."""
    if gate is not None and gate.verdict != "passed":
        typer.echo(f"tgr: gate {gate.verdict}: {gate.sentence}", err=True)
        raise typer.Exit(GATE_FAILED)
