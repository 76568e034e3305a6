"""The figure of a run: an estimate and its interval, site by site."""

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tgr_cli.api.table import Table
from tgr_cli.errors import TgrError
from tgr_cli.report.theme import LIGHT

AXES = {
    "sdc_rate": "SDC rate",
    "failure_rate": "SDCs and non-finite outcomes, rate",
    "mean_dloss": "mean dLoss (nats)",
}


class Shown(Figure):
    """A figure that a notebook shows without matplotlib's own backend."""

    def _repr_png_(self) -> bytes:
        written = io.BytesIO()
        self.savefig(written, format="png", dpi=110)
        return written.getvalue()


def by_site(title: str, sites: Table, column: str) -> Figure:
    """Return a figure of a column of `vulnerability`, the first site at the top; raises TgrError for another column."""
    if column not in AXES:
        raise TgrError(f'column is "{column}"; use one of {", ".join(AXES)}')
    values: Any = [np.array(sites[column + end], np.float64) for end in ("", "_low", "_high")]
    mean_S, low_S, high_S = values
    place_S = np.arange(len(sites))
    figure = Shown(figsize=(6.4, 1.2 + 0.22 * len(sites)), layout="constrained")
    axes = figure.subplots()
    axes.hlines(place_S, low_S, high_S, color=LIGHT.model_1)
    axes.plot(mean_S, place_S, "o", color=LIGHT.model_1, markersize=4)
    axes.set_yticks(place_S, sites["site"])
    axes.set_ylim(len(sites) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel(AXES[column])
    axes.set_title(title)
    axes.grid(axis="x", color=LIGHT.line)
    return figure
