"""Options of `tgr inject` that say what a fault strikes, and for how long."""

from pathlib import Path
from typing import Annotated

import typer

FAULTS = "Faults"

Pattern = Annotated[
    str,
    typer.Option(
        help="Which elements a fault strikes: element, row, column, channel (a feature map), "
        "block:height=2,width=2 (neighbours), several:count=2 (anywhere at the site).",
        rich_help_panel=FAULTS,
    ),
]
PatternFile = Annotated[
    Path | None,
    typer.Option(
        help="Draw patterns by the probabilities of this TOML or JSON file, given for each operation.",
        rich_help_panel=FAULTS,
    ),
]
Strike = Annotated[
    str,
    typer.Option(
        help="What is struck: element (a value's word), or scale (the word of the number format's scale, as a "
        "shared exponent: all values that share it change).",
        rich_help_panel=FAULTS,
    ),
]
Lasting = Annotated[
    bool,
    typer.Option(
        "--lasting",
        help="Faults in neurons last: each is tried on --images-per-fault images, as one in a tensor is.",
        rich_help_panel=FAULTS,
    ),
]
