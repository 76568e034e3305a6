"""`tgr flip`: the effect of one bit flip, or of each, on a number."""

import math
from dataclasses import asdict
from typing import Annotated, Any

import typer

from tgr_cli import defaults
from tgr_cli.commands.console import Console
from tgr_cli.commands.options import Json, Quiet, configure
from tgr_cli.commands.session import session


def flip(
    ctx: typer.Context,
    value: Annotated[str, typer.Argument(help="The number, as 1, -1.5, 3e8, inf or nan.")],
    bit: Annotated[
        int | None, typer.Option(help="Bit to flip; 0 is the least significant (default: each in turn).")
    ] = None,
    format: Annotated[
        str, typer.Option(help='Number format, one of "tgr formats", with its options, as int8:affine.')
    ] = defaults.FORMAT,
    max: Annotated[
        float | None,
        typer.Option(
            help="For formats with a scale: the largest value that it is fitted to, of a tensor or a block (default: a "
            "step of 1).",
        ),
    ] = None,
    min: Annotated[
        float | None,
        typer.Option(help="The lowest value that the scale is fitted to (default: minus --max; unsigned: 0)."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what the flip of a bit makes of a number; without --bit, what the flip of each of its bits does.

    The number is first rounded to the format. Shown are the value, the bytes in hexadecimal and the bits of each field;
    with --max also the shared scale, and what becomes of the number when one of its bits flips.
    """
    with session(ctx) as console:
        from tgr_cli.steps import flip as step

        flipped = step.run(configure(step.Config, locals()), console)
    if json:
        console.json(_facts(format, bit, flipped))
    elif bit is not None:
        (only,) = flipped.flips
        both = (("before", flipped.before), ("after", only.after))
        names = _fields(flipped)
        console.table(
            f"Bit {bit} of {format}: {only.field}",
            ("", "value", "hex", *names),
            [(which, repr(number.value), number.hex, *_digits(number, names)) for which, number in both],
        )
    else:
        _table(console, format, flipped)


def _table(console: Console, format: str, flipped: Any) -> None:
    before, names = flipped.before, _fields(flipped)
    console.table(
        f"{before.value!r} in {format} is {before.hex}; after the flip of each bit",
        ("bit", "field", "value", "change", "hex", *names),
        [
            ("-", "none", repr(before.value), "", before.hex, *_digits(before, names)),
            *((*_cells(each, before), each.after.hex, *_digits(each.after, names)) for each in flipped.flips),
        ],
    )
    if (scale := flipped.scale) is not None:
        zero = f", the code of 0 is {scale.zero}" if scale.zero else ""
        console.table(
            f"The shared step {scale.step!r}{zero} in {scale.format} is {scale.hex}; after each flip in it",
            ("bit", "field", "value", "change"),
            [_cells(each, before) for each in scale.flips],
        )


def _facts(format: str, bit: int | None, flipped: Any) -> dict[str, Any]:
    scale = None if flipped.scale is None else asdict(flipped.scale)
    if bit is not None:
        (only,) = flipped.flips
        found = {"before": asdict(flipped.before), "after": asdict(only.after), "field": only.field}
        return {"format": format, "bit": bit, **found, "scale": scale}
    flips = [asdict(each) | {"change": each.change(flipped.before)} for each in flipped.flips]
    return {"format": format, "before": asdict(flipped.before), "flips": flips, "scale": scale}


def _fields(flipped: Any) -> list[str]:
    """Return the names of the fields: a posit's differ from word to word."""
    numbers = (flipped.before, *(each.after for each in flipped.flips))
    return list(dict.fromkeys(name for number in numbers for name in number.fields))


def _digits(number: Any, names: list[str]) -> tuple[str, ...]:
    return tuple(number.fields.get(name, "-") for name in names)


def _cells(each: Any, before: Any) -> tuple[str, str, str, str]:
    change = each.change(before)
    return str(each.bit), each.field, repr(each.after.value), "-" if math.isnan(change) else f"{change:+.6g}"
