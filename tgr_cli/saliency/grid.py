"""Grid of saliency maps: one row per image with the picture and, for each model, its map before and after faults.

Suffixes: C channels, H W height and width.
"""

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from tgr_cli.errors import printable

CELL, GAP, TEXT = 2.1, 0.08, 0.5  # inches: side of a picture, gap between two, text below
# inches: model names at the top, legend and one line of the caption at the bottom
HEAD, LEGEND, LINE = 0.62, 0.42, 0.17
SIDE = 256  # minimum side in pixels; enlarging small pictures keeps them sharp
INK, FAINT, CHANGED = "#1b1b1f", "#6b6b76", "#c1400a"
HEAT = matplotlib.colormaps["inferno"]
STRONGEST = 0.85  # opacity of the map's maximum
WIDEST = 30  # characters of a name


@dataclass(frozen=True)
class _Sheet:
    """A figure of `width` by `height` inches, with its pictures in rows and columns."""

    figure: Figure
    width: float
    height: float

    def cell(self, row: int, column: int) -> Axes:
        left, top = GAP + column * (CELL + GAP), HEAD + row * (CELL + TEXT)
        axes = self.figure.add_axes(
            (left / self.width, 1 - (top + CELL) / self.height, CELL / self.width, CELL / self.height)
        )
        axes.set_axis_off()
        return axes

    def write(self, x: float, y: float, words: str, **style: Any) -> None:
        """Write words at a position in inches from the upper left corner."""
        place = (x / self.width, 1 - y / self.height)
        self.figure.text(*place, printable(words), parse_math=False, **{"color": INK, "ha": "center", **style})


def draw(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    pictures: Sequence[Sequence[np.ndarray]],
    classes: Sequence[str],
    caption: str,
) -> None:
    """Write the grid as PNG.

    `rows` are rows of `saliency`, grouped by model, with the images in the same order for each. `pictures` are the
    inputs of each model, uint8 [C, H, W], in that order.
    """
    count = len(pictures[0])
    columns = 1 + 2 * len(pictures)
    width = columns * (CELL + GAP) + GAP
    lines = textwrap.wrap(caption, int(width * 16))
    foot = LEGEND + LINE * len(lines) + GAP
    height = HEAD + count * (CELL + TEXT) + foot
    sheet = _Sheet(Figure(figsize=(width, height), facecolor="white"), width, height)
    FigureCanvasAgg(sheet.figure)
    for model in range(len(pictures)):
        _write_head(sheet, model, rows[model * count])
    for image in range(count):
        of_image = [(rows[model * count + image], each[image]) for model, each in enumerate(pictures)]
        _draw_image(sheet, image, of_image, classes)
    _draw_foot(sheet, foot, lines)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # glyphs missing in the font are drawn as boxes
        sheet.figure.savefig(path, format="png", dpi=150, metadata={"Software": "tgr"})


def _write_head(sheet: _Sheet, model: int, row: Mapping[str, Any]) -> None:
    """Write the model's name and layer over its two columns."""
    middle = GAP + (2 + 2 * model) * (CELL + GAP) - GAP / 2
    sheet.write(middle, 0.24, _short(f"{row['model']}", 2 * WIDEST), size=12, weight="bold")
    sheet.write(middle - CELL / 2, 0.5, f"before, at {_short(row['layer'])}", size=9, color=FAINT)
    sheet.write(middle + CELL / 2, 0.5, "after the faults", size=9, color=FAINT)


def _draw_image(
    sheet: _Sheet, image: int, of_models: Sequence[tuple[Mapping[str, Any], np.ndarray]], classes: Sequence[str]
) -> None:
    """Draw one row of the grid: the picture, and each model's maps from its row of `saliency` and its own picture."""
    shown, picture = of_models[0]
    below, middle = HEAD + image * (CELL + TEXT) + CELL + 0.15, GAP + CELL / 2
    sheet.cell(image, 0).imshow(_enlarged(picture), cmap="gray", vmin=0, vmax=255)
    sheet.write(middle, below, _short(classes[shown["label"]]), size=9, weight="bold")
    sheet.write(middle, below + 0.16, _short(shown["image_id"]), size=7.5, color=FAINT)
    for model, (row, seen) in enumerate(of_models):
        for side, when in enumerate(("before", "after")):
            column = 1 + 2 * model + side
            middle = GAP + column * (CELL + GAP) + CELL / 2
            _show(sheet.cell(image, column), seen, row, when)
            words, colour = _prediction(row, when, classes)
            sheet.write(middle, below, words, size=9, color=colour, weight="bold" if colour == CHANGED else "normal")
            if when == "after" and row["map_after"] is not None:
                sheet.write(middle, below + 0.16, _moved(row), size=7.5, color=FAINT)


def _draw_foot(sheet: _Sheet, foot: float, lines: Sequence[str]) -> None:
    """Draw the legend of the colours and write the caption's lines, in the lowest `foot` inches."""
    ramp = sheet.figure.add_axes(
        (GAP / sheet.width, (foot - 0.2) / sheet.height, CELL / 2 / sheet.width, 0.1 / sheet.height)
    )
    ramp.imshow(HEAT(np.linspace(0, 1, SIDE))[None], aspect="auto")
    ramp.set_axis_off()
    top = sheet.height - foot
    sheet.write(CELL / 2 + 3 * GAP, top + 0.18, "0 to 1: share of a map's highest value", size=8, ha="left")
    for number, line in enumerate(lines):
        sheet.write(GAP, top + LEGEND + number * LINE, line, size=8, color=FAINT, ha="left", va="top")


def _show(axes: Axes, picture_CHW: np.ndarray, row: Mapping[str, Any], when: str) -> None:
    """Draw a map over the grey picture, or the faint picture with a notice if there is no map."""
    grey_HW = np.asarray(Image.fromarray(_enlarged(picture_CHW)).convert("L"), np.float64) / 255
    values = row[f"map_{when}"]
    if values is None:
        axes.imshow(0.75 + 0.25 * grey_HW, cmap="gray", vmin=0, vmax=1)
        lost = "logits" if row["outcome"] == "non_finite" else "map"
        axes.text(
            *(0.5, 0.5, f"{lost} not finite"),
            transform=axes.transAxes,
            ha="center",
            va="center",
            size=10,
            color=CHANGED,
        )
        return
    map_HW = np.asarray(values, np.float32).reshape(row["height"], row["width"])
    size = grey_HW.shape[::-1]
    smooth_HW = np.clip(np.asarray(Image.fromarray(map_HW).resize(size, Image.Resampling.BILINEAR)), 0, 1)
    opacity_HW1 = STRONGEST * smooth_HW[..., None] ** 0.7
    axes.imshow(HEAT(smooth_HW)[..., :3] * opacity_HW1 + grey_HW[..., None] * (1 - opacity_HW1))


def _enlarged(picture_CHW: np.ndarray) -> np.ndarray:
    """Return a picture as [H, W] or [H, W, 3], with pixels repeated until its side is at least SIDE."""
    picture_HWC = picture_CHW.transpose(1, 2, 0)
    times = -(-SIDE // picture_HWC.shape[0])
    return np.squeeze(picture_HWC.repeat(times, axis=0).repeat(times, axis=1))


def _prediction(row: Mapping[str, Any], when: str, classes: Sequence[str]) -> tuple[str, str]:
    """Return the text below a map and its colour, which marks a changed prediction."""
    predicted = row[f"prediction_{when}"]
    if predicted is None:
        return "no prediction", CHANGED
    words = f"{_short(classes[predicted], WIDEST - 8)}  {row[f'top1_{when}']:.2f}"
    return words, INK if predicted == row["prediction_before"] else CHANGED


def _moved(row: Mapping[str, Any]) -> str:
    correlation, shift = ("-" if row[name] is None else f"{row[name]:.3f}" for name in ("correlation", "shift"))
    return f"correlation {correlation}, shift {shift}"


def _short(name: str, letters: int = WIDEST) -> str:
    """Return a name shortened to fit below a picture, with the middle omitted."""
    if len(name) <= letters:
        return name
    half = (letters - 1) // 2
    return f"{name[: letters - 1 - half]}…{name[-half:]}"
