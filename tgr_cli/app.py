"""The command line: the commands, the defaults in `tgr.toml`, and exit codes for errors."""

import gc
import io
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from tgr_cli import __version__
from tgr_cli.allocator import keep_memory
from tgr_cli.commands import COMMANDS, usage
from tgr_cli.commands.group import CommandGroup, built
from tgr_cli.errors import TgrError, printable

DEFAULTS_FILE = Path("tgr.toml")
INTERRUPTED = 130
# Python's 700 takes a sixth of the start: torch makes a million objects that stay.
ALLOCATIONS_A_COLLECTION = 50_000
OUT_OF_MEMORY = re.compile("out of memory|can't allocate memory")  # torch's messages on GPU and CPU
UsageError: Any = typer.BadParameter.__base__  # not exported by typer

app = typer.Typer(
    name="tgr",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Measure and improve how image classifiers survive hardware faults.",
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"tgr {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_version,
            is_eager=True,
            allow_from_autoenv=False,  # otherwise TGR_VERSION in the environment would make every command print it
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    pass


def defaults(path: Path = DEFAULTS_FILE) -> dict[str, Any]:
    """Return the defaults in `tgr.toml`: top-level keys for every command, a table for one command.

    Keys are option names (`data-root` or `data_root`). Raises TgrError for invalid TOML, and for unknown tables and
    keys.
    """
    if not path.exists():
        return {}
    from tgr_cli import documents  # most folders have no such file; skip the import

    content = documents.read_toml(path, "mend it or remove it")
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
    return {name: built(name) for name in COMMANDS}


def main() -> None:
    """Run the command line: exit code 0 done, 1 a TgrError, 2 usage, 3 a gate failed, 130 interrupted.

    Errors are printed in one line on stderr.
    """
    gc.set_threshold(ALLOCATIONS_A_COLLECTION)
    keep_memory()
    for name in ("stdout", "stderr"):  # closed, as in `tgr … >&-`
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # an ASCII terminal prints \xd7 for ×
    sys.exit(_run())


def _run() -> int:
    try:
        os.getcwd()
    except OSError:
        return _tell(1, "the working folder does not exist any more; change to one that does, as with cd")
    try:
        code = app(default_map=defaults(), auto_envvar_prefix="TGR", standalone_mode=False) or 0
        sys.stdout.flush()
    except TgrError as error:
        return _tell(1, str(error))
    except UsageError as error:
        return _tell(2, usage.sentence(error))
    except BrokenPipeError:  # the reader has closed the pipe, as in `tgr models | head`
        _drop_stdout()
        return 1
    except OSError as error:  # the machine's: no space, no permission, a name too long
        if error.filename is None:
            _drop_stdout()
        what = error.filename or "stdout"
        return _tell(1, f"{what} cannot be used ({error.strerror or error}); choose another place")
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error))):
            raise
        return _tell(1, "the memory does not suffice; lower --batch-size, --images, --injections or --crop")
    except KeyboardInterrupt:
        code = INTERRUPTED
    return _tell(INTERRUPTED, "interrupted; files already written are whole and kept") if code == INTERRUPTED else code


def _drop_stdout() -> None:
    """Discard what remains to be written to stdout; otherwise the interpreter fails while exiting."""
    with suppress(OSError, ValueError):  # stdout is missing, or has no file descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(code: int, sentence: str) -> int:
    """Write one line to stderr and return `code`; an empty sentence (`tgr` alone prints help) is skipped."""
    if sentence:
        sys.stderr.write(f"tgr: {printable(' '.join(sentence.split()))}\n")
    return code
