"""Builds a command with all its options from its function."""

from collections.abc import Callable
from typing import Any

import typer

from tgr_cli.commands.parameters import Command, with_places

PARSING = {
    "flip": {"ignore_unknown_options": True},  # `tgr flip -1.5`: a negative number is not an option
    "submit": {"allow_interspersed_args": False},  # what follows the first word belongs to the command that it names
}


def of_function(name: str, function: Callable[..., None]) -> Any:
    """Return the command `name` that calls this function."""
    alone = typer.Typer(add_completion=False)
    alone.command(name, cls=Command, context_settings=PARSING.get(name))(with_places(function))
    return typer.main.get_command(alone)
