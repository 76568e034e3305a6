"""`tgr formats`: the number formats and their bits."""

import typer

from tgr_cli.commands.options import Json
from tgr_cli.commands.session import session


def formats(ctx: typer.Context, json: Json = False) -> None:
    """List the number formats for bit flips and the bits of each field; bit 0 is the least significant."""
    from tgr_cli.steps import formats as step

    with session(ctx) as console:
        known = step.run()
    if json:
        console.json([{"format": form.name, "bits": form.width, "fields": form.fields} for form in known])
        return
    names = ("sign", "exponent", "mantissa", "value")
    console.table(
        "Number formats: width, and the bits of each field",
        ("format", "bits", *names),
        [(form.name, str(form.width), *(_span(form.fields.get(name)) for name in names)) for form in known],
    )


def _span(bits: tuple[int, int] | None) -> str:
    if bits is None:
        return "-"
    low, high = bits
    return str(low) if low == high else f"{low}-{high}"
