"""The group of all commands, each built on demand.

To build a command, Typer inspects all of its options; for all commands that would take longer than the rest of `tgr
--help`.
"""

import inspect
from functools import cache
from typing import Any

from typer.core import TyperCommand

from tgr_cli.commands import COMMANDS
from tgr_cli.commands.building import of_function
from tgr_cli.commands.parameters import Group


@cache
def built(name: str) -> Any:
    """Return the command `name` with all its options, built once per process."""
    return of_function(name, COMMANDS[name])


class CommandGroup(Group):
    """The commands by name, in the order of COMMANDS."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._built: dict[str, Any] = {}
        self.commands = {name: TyperCommand(name) for name in COMMANDS}  # placeholders, to suggest the nearest name

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in COMMANDS and cmd_name not in self._built:
            self._built[cmd_name] = built(cmd_name)
        return self._built.get(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the group's own help, which needs only names and first sentences."""
        kept = self._built
        self._built = {name: TyperCommand(name, help=inspect.getdoc(command)) for name, command in COMMANDS.items()}
        try:
            super().format_help(ctx, formatter)
        finally:
            self._built = kept
