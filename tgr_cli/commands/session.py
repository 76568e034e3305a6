"""The context of a command: its console, and the run record beside each file it writes."""

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

from tgr_cli.commands import as_published
from tgr_cli.commands.console import Console
from tgr_cli.commands.parameters import named as named_option
from tgr_cli.errors import TgrError
from tgr_cli.paths import ask_anew
from tgr_cli.preflight import named

SOURCES = {
    "COMMANDLINE": "command line",
    "ENVIRONMENT": "environment",
    "DEFAULT_MAP": "tgr.toml",
    "DEFAULT": "default",
    "PROMPT": "prompt",
}


@contextmanager
def session(ctx: typer.Context) -> Iterator[Console]:
    """Context manager: yield a console for this command's `--quiet` and `--json`; write a run record per file written.

    The record, `<artifact>.run.json`, has what may differ between equal runs: command line, host, time, paths, and
    every option's value and its source.
    """
    console = Console(quiet=bool(ctx.params.get("quiet")), as_json=bool(ctx.params.get("json")))
    started, began = time.time(), time.perf_counter()
    ask_anew()
    # stdout is for data only, but a user's model and libraries may print: redirect them to stderr.
    with redirect_stdout(sys.stderr), console.running(), _told(console), _with_source(ctx):
        for sentence in as_published.sentences(ctx):
            console.note(sentence)
        named.refuse_unknown(ctx.params)
        yield console
    for path in console.written:
        _record(ctx, path, started, time.perf_counter() - began, console.facts)


@contextmanager
def _told(console: Console) -> Iterator[None]:
    """Context manager: print the library's logged warnings as notes, once each."""
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
    """Context manager: add the source of an option (tgr.toml or a variable) to errors about it, if it was not typed."""
    try:
        yield
    except TgrError as error:
        for name in ctx.params:
            option = f"--{name.replace('_', '-')}"
            if re.search(rf"{option}(?![\w-])", str(error)) and (source := named_option(ctx, name)):
                raise TgrError(f"{error}; {option} {source}") from error
        raise


def _record(ctx: typer.Context, path: Path, started: float, seconds: float, facts: dict[str, Any]) -> None:
    from tgr_cli.artifacts.store import run_record, write_json

    write_json(
        run_record(path),
        {
            "artifact": path.name,
            "command": ctx.obj or shlex.join(["tgr", *sys.argv[1:]]),
            "host": platform.node(),
            "system": platform.platform(),
            "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "options": {name: _option(ctx, name, value) for name, value in sorted(ctx.params.items())},
            **facts,
        },
    )


def _option(ctx: typer.Context, name: str, value: Any) -> dict[str, Any]:
    source = ctx.get_parameter_source(name)
    plain = value if isinstance(value, str | int | float | bool | type(None)) else str(value)
    protocol = as_published.source_of(ctx, name)
    return {"value": plain, "from": protocol or SOURCES.get(source.name if source else "", "default")}
