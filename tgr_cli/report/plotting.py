"""Drawing panels as SVG for the page and as PNG files, and elements shared by all plots."""

import io
import re
import warnings
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from tgr_cli.errors import printable
from tgr_cli.report.figure import Panel
from tgr_cli.report.theme import LIGHT, STAND_INS, Palette, settings, themed

WIDTH = 360  # pixels: a phone's width, or a third of a desktop page
LINE = 46  # characters of a legend that fit into WIDTH
PNG_DPI = 216  # 3 pixels per point (1/72 inch)
SUBDIVIDED: tuple[tuple[float, tuple[float, ...]], ...] = (  # ticks within a decade, by the number of decades shown
    (2.5, (1,)),
    (1.3, (1, 3)),
    (0.7, (1, 2, 5)),
    (0.0, (1, 1.5, 2, 3, 5, 7)),
)
SPREAD = 50  # ratio of the largest to the smallest positive value above which an axis is logarithmic
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
IDENTIFIED = re.compile(r' id="([^"]*)"')
POINTED_AT = re.compile(r'(?:url\(#|href="#)([^)"]+)')
STRAY = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", re.DOTALL)
SIZE = re.compile('<svg width="[^"]*" height="[^"]*"')
NAMESPACES = re.compile(r' xmlns(?::\w+)?="[^"]*"')
FONT = re.compile(r"'DejaVu Sans'(?:, [^;\"]*)?")
TAG = re.compile("<[^>]*>")
POSITION = re.compile(r"(?<![\w#.-])-?\d+\.\d{3,}")


def svg(panel: Panel, prefix: str, label: str) -> str:
    """Return a panel as an SVG element with the page's colours, font and size; deterministic.

    Ids start with `prefix`, as they must be unique on the page; `label` is for screen readers.
    """
    drawn = _drawn(panel, STAND_INS, prefix, "svg").decode()
    drawn = NAMESPACES.sub("", STRAY.sub("", drawn)).replace("xlink:href", "href").strip()
    used = set(POINTED_AT.findall(drawn))
    drawn = IDENTIFIED.sub(lambda found: f' id="{prefix}-{found[1]}"' if found[1] in used else "", drawn)
    drawn = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{prefix}-", drawn)
    drawn = SIZE.sub(lambda _: f'<svg role="img" aria-label="{escape(label)}"', drawn, count=1)
    drawn = TAG.sub(lambda tag: POSITION.sub(lambda found: f"{float(found[0]):.2f}", tag[0]), drawn)
    return re.sub(r"\n\s*", "\n", FONT.sub("var(--font)", themed(drawn)))


def png(panel: Panel) -> bytes:
    """Return a panel as a PNG in the light colours, on white."""
    return _drawn(panel, LIGHT, panel.key, "png")


def _drawn(panel: Panel, colours: Palette, salt: str, kind: str) -> bytes:
    written = io.BytesIO()
    with matplotlib.rc_context(settings(colours, salt)), warnings.catch_warnings():
        # Missing glyphs are boxes in a PNG; in an SVG the browser uses other fonts.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        canvas = Canvas(figsize=(WIDTH / 72, panel.height / 72), layout="constrained")
        axes = canvas.add_subplot()
        panel.draw(axes, colours)
        for line in axes.lines:  # an empty line counts in the layout as a point at the origin
            line.set_in_layout(np.size(line.get_xdata()) > 0)
        handles, labels = axes.get_legend_handles_labels()
        if len(labels) > 1:
            short = sum(len(label) + 6 for label in labels) < LINE
            canvas.legend(
                handles,
                [middle(label, LINE) for label in labels],
                loc="outside upper left",
                ncols=len(labels) if short else 1,
                columnspacing=1.2,
                borderaxespad=0.4,  # with less the image's edge cuts off the tops of letters
            )
        if kind == "svg":
            FigureCanvasSVG(canvas).print_svg(written, metadata=NO_METADATA)  # savefig would draw twice
        else:
            if panel.title and len(labels) < 2:
                canvas.suptitle(middle(panel.title, LINE), fontsize=11)
            canvas.savefig(written, format="png", dpi=PNG_DPI, facecolor="white", metadata={"Software": "tgr"})
    return written.getvalue()


def middle(text: str, most: int) -> str:
    """Return `text` on one line, with control characters escaped, its middle elided beyond `most` characters."""
    text = printable(" ".join(text.split()))
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def spread_out(values: Sequence[float | None]) -> bool:
    """Return whether these values are positive and span more than a linear axis can show."""
    positive = [value for value in values if value is not None and value > 0]
    return bool(positive) and max(positive) > SPREAD * min(positive)


def scaled(axis: Axis, *, logarithmic: bool, shown: Callable[[float], str]) -> None:
    """Set a linear or logarithmic scale with few ticks, formatted by `shown`."""
    if logarithmic:
        low, high = axis.get_view_interval()
        decades_shown = np.log10(high / low)
        subs = next(subs for fewest, subs in SUBDIVIDED if decades_shown >= fewest)
        axis.set_major_locator(LogLocator(subs=subs, numticks=6))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: shown(value)))


def decades(values: Sequence[float | None]) -> tuple[float, float]:
    """Return limits of a logarithmic axis: whole decades around the positive values."""
    positive = [value for value in values if value is not None and value > 0]
    low, high = np.floor(np.log10(min(positive))), np.ceil(np.log10(max(positive)))
    return float(10.0**low), float(10.0 ** max(high, low + 1))


def estimates(
    axes: Axes,
    y: Sequence[float],
    limits: Sequence[tuple[float | None, float | None, float | None]],
    colour: str,
    paper: str,
    *,
    mark: str,
    sound: Sequence[bool],
    edge: float | None,
) -> None:
    """Draw values with their intervals as markers at heights `y`: each of `limits` is (value, low, high).

    Markers are hollow where not `sound`. On a logarithmic axis values at or below its lower end `edge` are drawn there
    as `<`; None is a linear axis. Without a value nothing is drawn, without limits no interval.
    """
    least = -np.inf if edge is None else edge
    for height, (value, low, high), full in zip(y, limits, sound, strict=True):
        if value is None:
            continue
        if low is not None and high is not None and high > least:
            axes.hlines(height, max(low, least), high, color=colour, linewidth=1.4, alpha=0.8)
        shape, face = mark if value > least else "<", colour if full else paper
        axes.plot(max(value, least), height, shape, color=colour, markersize=5, markerfacecolor=face, clip_on=False)


def level(axes: Axes, value: float, colour: str, *, across: bool = True) -> None:
    """Draw a thin horizontal line at `value`; vertical if not `across`."""
    (axes.axhline if across else axes.axvline)(value, color=colour, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
