"""`tgr formats`: the number formats, what they hold, and their bits."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from tgr_cli.commands.options import Json
from tgr_cli.commands.session import session


def formats(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(help="Formats to describe, as bf16 or float:e=3,m=4 (default: all).")
    ] = None,
    json: Json = False,
) -> None:
    """List the number formats: range, precision, special values, and the bits of each field; bit 0 is the lowest.

    Names in the list can be followed by options, as in int8:affine or float8_e5m2:overflow=saturate; docs/formats.md
    has them. The figures of formats with a scale are those for a step of 1.
    """
    from tgr_cli.steps import formats as step

    with session(ctx) as console:
        known = step.run(names or ())
    if json:
        console.json([_facts(each) for each in known])
        return
    console.table(
        "Number formats: range, precision (distance from 1 to the next number), specials, bits of each field",
        ("format", "bits", "largest", "normal from", "smallest", "epsilon", "specials", "fields", "what it is"),
        [
            (
                each.form.name,
                str(each.form.width),
                shortened(each.properties.largest),
                shortened(each.properties.smallest_normal),
                shortened(each.properties.smallest),
                shortened(each.properties.epsilon),
                specials(each.properties),
                ", ".join(f"{name} {_span(bits)}" for name, bits in each.form.fields.items()),
                each.form.what,
            )
            for each in known
        ],
        head=1,
    )


def _facts(each: Any) -> dict[str, Any]:
    form = each.form
    facts = {"format": form.name, "bits": form.width, "fields": dict(form.fields), "what": form.what}
    shared = {"scale_per": form.shared or None, "block": form.block or None}
    return facts | asdict(each.properties) | shared | {"facts": form.facts}


def specials(has: Any) -> str:
    """Return which special values a format has, by its properties."""
    found = (("inf", has.infinities), ("nan", has.nan), ("-0", has.negative_zero), ("subnormal", has.subnormals))
    return " ".join(name for name, there in found if there) or "-"


def shortened(number: float | None) -> str:
    """Return a figure with six digits."""
    return "-" if number is None else f"{number:.6g}"


def _span(bits: tuple[int, int]) -> str:
    low, high = bits
    return str(low) if low == high else f"{low}-{high}"
