"""One invocation of a command: its console, and the run record beside each file it wrote."""

import logging
import platform
import re
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from tgr_cli.commands.console import Console
from tgr_cli.commands.parameters import named
from tgr_cli.errors import TgrError

SOURCES = {
    "COMMANDLINE": "command line",
    "ENVIRONMENT": "environment",
    "DEFAULT_MAP": "tgr.toml",
    "DEFAULT": "default",
    "PROMPT": "prompt",
}


@contextmanager
def session(ctx: typer.Context) -> Iterator[Console]:
    """Give a console made for this command's `--quiet` and `--json`; record how each file it wrote was made.

    The record, `<artifact>.run.json`, holds what may differ between equal runs: command line, host, time, paths, and
    for every option its value and where the value came from.
    """
    console = Console(quiet=bool(ctx.params.get("quiet")), as_json=bool(ctx.params.get("json")))
    started = time.time()
    # A user's model and the libraries print as they like: stdout is for data alone, and the console keeps hold of it.
    with redirect_stdout(sys.stderr), console.running(), _told(console), _with_source(ctx):
        yield console
    for path in console.written:
        _record(ctx, path, started, console.facts)


@contextmanager
def _told(console: Console) -> Iterator[None]:
    """Let what the library logs as a warning be read as a note, once each."""
    said: set[str] = set()

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() not in said:
                said.add(record.getMessage())
                console.note(record.getMessage())

    library, handler = logging.getLogger("tgr_cli"), Notes(logging.WARNING)
    library.addHandler(handler)
    try:
        yield
    finally:
        library.removeHandler(handler)


@contextmanager
def _with_source(ctx: typer.Context) -> Iterator[None]:
    """Say of a refused option that was not typed where its value stands: tgr.toml, or which variable."""
    try:
        yield
    except TgrError as error:
        for name in ctx.params:
            option = f"--{name.replace('_', '-')}"
            if re.search(rf"{option}(?![\w-])", str(error)) and (source := named(ctx, name)):
                raise TgrError(f"{error}; {option} {source}") from error
        raise


def _record(ctx: typer.Context, path: Path, started: float, facts: dict[str, Any]) -> None:
    from tgr_cli.artifacts.store import run_record, write_json

    write_json(
        run_record(path),
        {
            "artifact": path.name,
            "command": ctx.obj or shlex.join(["tgr", *sys.argv[1:]]),
            "host": platform.node(),
            "system": platform.platform(),
            "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - started, 3),
            "options": {name: _option(ctx, name, value) for name, value in sorted(ctx.params.items())},
            **facts,
        },
    )


def _option(ctx: typer.Context, name: str, value: Any) -> dict[str, Any]:
    source = ctx.get_parameter_source(name)
    plain = value if isinstance(value, str | int | float | bool | type(None)) else str(value)
    return {"value": plain, "from": SOURCES.get(source.name if source else "", "default")}
