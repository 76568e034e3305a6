"""`tgr flip`: the effect of one bit flip on a number."""

from dataclasses import asdict
from typing import Annotated

import typer

from tgr_cli import defaults
from tgr_cli.commands.options import Json, Quiet, configure
from tgr_cli.commands.session import session


def flip(
    ctx: typer.Context,
    value: Annotated[str, typer.Argument(help="The number, as 1, -1.5, 3e8, inf or nan.")],
    bit: Annotated[int, typer.Option(help="Bit to flip; 0 is the least significant.")],
    format: Annotated[str, typer.Option(help='Number format, one of "tgr formats".')] = defaults.FORMAT,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show a number before and after the flip of one bit: value, bytes in hexadecimal, and the bits of each field."""
    from tgr_cli.steps import flip as step

    with session(ctx) as console:
        flipped = step.run(configure(step.Config, locals()), console)
    if json:
        console.json({"format": format, "bit": bit, **asdict(flipped)})
        return
    both = (("before", flipped.before), ("after", flipped.after))
    console.table(
        f"Bit {bit} of {format}: {flipped.field}",
        ("", "value", "hex", *flipped.before.fields),
        [(name, repr(number.value), number.hex, *number.fields.values()) for name, number in both],
    )
