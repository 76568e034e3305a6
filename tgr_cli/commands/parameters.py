"""Checks on every option and argument of every command, applied as values are parsed.

Refuses empty names (as a path, "" is the current folder), NaN and infinity (NaN passes range checks), and names that
are not UTF-8 (they cannot be recorded). Errors about a value that was not typed name its source.
"""

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from tgr_cli.commands import as_published
from tgr_cli.errors import TgrError
from tgr_cli.paths import place

LARGEST = 2**63 - 1
FOUND = 60  # maximum characters of a wrong value in a message


class Command(TyperCommand):
    """A command that applies `_checked` to all parameters and ignores environment variables for --help.

    Before it runs, a protocol that it is given sets its options.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for parameter in self.params:
            process: Any = parameter.process_value
            setattr(parameter, "process_value", _checked(parameter, process))  # noqa: B010

    def get_help_option(self, ctx: Any) -> Any:
        return _typed_only(super().get_help_option(ctx))

    def invoke(self, ctx: Any) -> Any:
        as_published.apply(ctx)
        return super().invoke(ctx)


class Group(TyperGroup):
    """The root group, which ignores environment variables for --help."""

    def get_help_option(self, ctx: Any) -> Any:
        return _typed_only(super().get_help_option(ctx))


def with_places(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return the command, which takes paths as `paths.place` gives them, where a version of Typer makes them anew."""

    @functools.wraps(command)
    def placed(**options: Any) -> Any:
        return command(**{name: _placed(value, value) for name, value in options.items()})

    return placed


def _placed(converted: Any, given: Any) -> Any:
    """Return a parameter's value with each path as `paths.place` takes it: Typer makes s3:/ of s3://."""
    if isinstance(converted, list | tuple):
        return type(converted)(_placed(*pair) for pair in zip(converted, given or converted, strict=True))
    return place(given or converted) if isinstance(converted, Path) else converted


def where_from(error: Any) -> str:
    """Return the source of a wrong value as a clause; "" if it was typed, or for other errors."""
    parameter, context = getattr(error, "param", None), error.ctx
    if parameter is None or context is None or not parameter.name:
        return ""
    source = named(context, parameter.name)
    return f" (it {source})" if source else ""


def named(ctx: Any, name: str) -> str:
    """Return the source of parameter `name`, such as "is set by …", or "" if it was typed."""
    if protocol := as_published.source_of(ctx, name):
        return f"is set by {protocol}"
    source = ctx.get_parameter_source(name)
    if source is None or source.name not in ("ENVIRONMENT", "DEFAULT_MAP"):
        return ""
    if source.name == "DEFAULT_MAP":
        return "is set in tgr.toml"
    parameter = next(parameter for parameter in ctx.command.params if parameter.name == name)
    known = [parameter.envvar] if isinstance(parameter.envvar, str) else list(parameter.envvar or ())
    variables = [*known, f"{ctx.auto_envvar_prefix}_{name.upper()}"]
    return f"is set by the environment variable {' or '.join(variables)}"


def _typed_only(option: Any) -> Any:
    if option is not None:
        option.allow_from_autoenv = False
    return option


def _checked(parameter: Any, convert: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def checked(ctx: Any, value: Any) -> Any:
        for text in value if isinstance(value, list | tuple) else [value]:
            if isinstance(text, str | Path) and (wrong := _wrong_text(str(text))):
                raise typer.BadParameter(wrong, ctx=ctx, param=parameter)
        try:
            converted = convert(ctx, value)
        except typer.BadParameter as error:
            if error.message:  # empty for a missing value
                error.message = _with_found(error.message, value)
            raise
        for number in converted if isinstance(converted, list | tuple) else [converted]:
            if isinstance(number, float) and not math.isfinite(number):
                option = f"--{parameter.name.replace('_', '-')}"
                raise TgrError(f"{option} is {number}, where a finite number is expected; give one")
            if isinstance(number, int) and not -LARGEST <= number <= LARGEST:
                raise typer.BadParameter("the number does not fit into 64 bits.", ctx=ctx, param=parameter)
        return _placed(converted, value)

    return checked


def _with_found(message: str, value: Any) -> str:
    """Return the message with the wrong value appended, unless the message already has it."""
    found = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    found = f"{found[:FOUND]}…" if len(found) > FOUND else found
    return message if found in message else f'{message.rstrip(".")} (found "{found}").'


def _wrong_text(text: str) -> str:
    if not text:
        return "it is empty; give a value, or leave the option out."
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return f"{text!a} is no UTF-8; rename the file, or give another name."
    return "it contains a NUL character." if "\0" in text else ""
