"""Colours of the page and its plots, distinguishable with colour blindness: CSS variables in SVG, fixed in PNG.

Hues from Okabe and Ito, "Color universal design" (2008), darkened on white and lightened on black to a contrast of 3:1
against the page.
"""

import re
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Palette:
    """A colour for each role: page, text and lines, models in order, outcomes, verdicts."""

    paper: str
    ink: str
    muted: str
    line: str
    model_0: str
    model_1: str
    model_2: str
    model_3: str
    non_finite: str
    sdc: str
    benign: str
    masked: str
    better: str
    worse: str

    @property
    def models(self) -> tuple[str, ...]:
        return self.model_0, self.model_1, self.model_2, self.model_3

    def variables(self) -> str:
        """Return the palette as CSS declarations."""
        return " ".join(f"--{_variable(f.name)}: {getattr(self, f.name)};" for f in fields(self))


LIGHT = Palette(
    paper="#ffffff",
    ink="#1b1f24",
    muted="#5c6570",
    line="#d9dee4",
    model_0="#5c6570",
    model_1="#0072b2",
    model_2="#c85200",
    model_3="#00805a",
    non_finite="#7b2d7b",
    sdc="#c85200",
    benign="#7fb9de",
    masked="#d5dbe1",
    better="#0072b2",
    worse="#c85200",
)
DARK = Palette(
    paper="#14171b",
    ink="#e8ebee",
    muted="#a3adb8",
    line="#333a42",
    model_0="#a9b3be",
    model_1="#56b4e9",
    model_2="#f28e3c",
    model_3="#35c49a",
    non_finite="#cc79a7",
    sdc="#f28e3c",
    benign="#35719b",
    masked="#3b444e",
    better="#56b4e9",
    worse="#f28e3c",
)
MARKS = ("o", "s", "^", "D")  # markers of models in order, so that shape distinguishes them too
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5)))
STAND_IN = re.compile("#fe([0-9a-f]{2})01")  # placeholder colours in a drawn SVG

# `themed` replaces these with CSS variables, so that an SVG follows the page's light or dark theme.
STAND_INS = Palette(*(f"#fe{number:02x}01" for number in range(len(fields(Palette)))))


def themed(svg: str) -> str:
    """Return an SVG drawn in STAND_INS with CSS variables as its colours."""
    names = [_variable(f.name) for f in fields(Palette)]
    return STAND_IN.sub(lambda found: f"var(--{names[int(found[1], 16)]})", svg)


def settings(colours: Palette, salt: str) -> dict[str, Any]:
    """Return matplotlib's settings for a plot in these colours; `salt` makes generated ids unique."""
    return {
        "axes.axisbelow": True,
        "axes.edgecolor": colours.muted,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.labelcolor": colours.ink,
        "axes.labelsize": 10,
        "axes.linewidth": 0.8,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "figure.facecolor": "none",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib, so plots are the same on every machine
        "font.size": 10,
        "grid.color": colours.line,
        "grid.linewidth": 0.6,
        "hatch.linewidth": 0.8,
        "legend.borderaxespad": 0,
        "legend.borderpad": 0,
        "legend.fontsize": 10,
        "legend.frameon": False,
        "legend.handlelength": 2.0,
        "legend.labelspacing": 0.3,
        "lines.linewidth": 1.6,
        "lines.markersize": 5,
        "savefig.facecolor": "none",
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "text.color": colours.ink,
        "text.parse_math": False,
        "text.usetex": False,
        "xtick.color": colours.muted,
        "xtick.labelcolor": colours.ink,
        "xtick.labelsize": 9.5,
        "ytick.color": colours.muted,
        "ytick.labelcolor": colours.ink,
        "ytick.labelsize": 9.5,
    }


def _variable(name: str) -> str:
    return name.replace("_", "-")
