"""The command line: assembles the commands, reads `tgr.toml`, and turns errors into exit codes."""

import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from tgr_cli import __version__
from tgr_cli.commands import COMMANDS
from tgr_cli.errors import TgrError

DEFAULTS_FILE = Path("tgr.toml")
PARSING = {"flip": {"ignore_unknown_options": True}}  # `tgr flip -1.5`: a negative number is no option

app = typer.Typer(
    name="tgr",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Measure and improve how image classifiers survive single-bit hardware faults.",
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"tgr {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


for name, command in COMMANDS.items():
    app.command(name, context_settings=PARSING.get(name))(command)


def defaults(path: Path = DEFAULTS_FILE) -> dict[str, Any]:
    """Return the defaults that `tgr.toml` sets: top-level keys for every command, a table for one command.

    Keys are option names (`data-root` or `data_root`). Raises TgrError for a file that is no TOML, and for a table or
    key that no command has.
    """
    if not path.exists():
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TgrError(f"{path} is not valid TOML ({error}); mend it or remove it") from error
    options = {name: {p.name for p in command.params} for name, command in _click_commands().items()}
    shared = {key.replace("-", "_"): value for key, value in content.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in content.items() if isinstance(value, dict)}
    known = set().union(*options.values())
    for key in shared:
        if key not in known:
            raise TgrError(f'{path} sets "{key}", which no command has; see "tgr COMMAND --help" for the options')
    for table, values in tables.items():
        if table not in options:
            raise TgrError(f"{path} has a table [{table}], which is no command; the commands are {', '.join(options)}")
        for key in values:
            if key.replace("-", "_") not in options[table]:
                raise TgrError(f'{path} sets "{key}" in [{table}], which "tgr {table}" has no option for')
    return {
        name: {key: value for key, value in shared.items() if key in names}
        | {key.replace("-", "_"): value for key, value in tables.get(name, {}).items()}
        for name, names in options.items()
    }


def _click_commands() -> dict[str, Any]:
    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def main() -> None:
    """Run the command line: exit code 0 done, 1 a TgrError, 2 usage, 3 a gate failed, 130 interrupted."""
    try:
        app(default_map=defaults())
    except TgrError as error:
        sys.stderr.write(f"tgr: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("tgr: interrupted; everything finished so far is kept\n")
        sys.exit(130)
