"""Feature maps: how vulnerable those of each layer are, and how many faults a map it takes to order them."""

import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tgr_cli.metrics.convergence import WITHIN, Convergence
from tgr_cli.metrics.feature_maps import ENDS, MapStudy
from tgr_cli.report.figure import Panel, Plot, Said, Table
from tgr_cli.report.measured import Run, key
from tgr_cli.report.plotting import level, middle, scaled
from tgr_cli.report.theme import DASHES, MARKS, Palette
from tgr_cli.report.words import count, factor, number, percent, tick

COLUMNS = ("site", "channel", "faults", "v_orig", *(f"{name}{end}" for name in ("v_dloss", "v_sdc") for end in ENDS))
SHADES = 6  # classes of V, each 10 ** STEP wide but for the last one, which holds all lower values
STEP = 0.5
NAMED = 24  # number of sites up to which each has its name on the axis
METRICS = {"dloss": "mean dLoss", "sdc": "mismatch"}
ORACLES = {False: "oracle of all faults", True: "oracle of other faults"}


def sentences(runs: Sequence[Run]) -> list[Said]:
    """Return what was found out about the feature maps of each run that has them."""
    return [Said(run.name, f"{'; '.join(_parts(run, run.maps))}.") for run in runs if run.maps]


def _parts(run: Run, maps: MapStudy) -> Iterator[str]:
    metrics = ("v_dloss", "v_sdc") if run.limited else ("v_sdc",)
    for name in metrics:
        value, low, high = maps.v_cnn[name]
        unit = "nats " if name == "v_dloss" else ""
        yield f"V_CNN by {METRICS[name[2:]]} {number(value)} {unit}({number(low)} to {number(high)})"
    if maps.held is not None:
        held = f"holds {percent(maps.held, 0)} of V by {METRICS[metrics[0][2:]]}"
        yield f"the most vulnerable third of the {count(len(maps.rows))} feature maps {held}"
    for found in maps.convergences:
        yield _needed(found)


def _needed(found: Convergence) -> str:
    whose = f"the oracle of {count(found.oracle)} {'other ' if found.independent else ''}faults a map"
    needed = {metric: found.needed(metric) for metric in METRICS}
    said = [f"{count(faults)} by {METRICS[metric]}" for metric, faults in needed.items() if faults]
    if not said:
        return f"no order comes within {WITHIN} of {whose}"
    faster = f" ({factor(found.speed_up)} fewer)" if found.speed_up else ""
    lacking = [f", by {METRICS[metric]} it does not" for metric, faults in needed.items() if not faults]
    return f"the order stays within {WITHIN} of {whose} from {' and '.join(said)}{faster}{''.join(lacking)}"


def figures(runs: Sequence[Run]) -> Iterator[Plot]:
    """Yield the map of vulnerable feature maps by layer, and the convergence of their order."""
    studied = [(run, run.maps) for run in runs if run.maps]
    if not studied:
        return
    yield Plot(
        "feature-maps",
        "Vulnerable feature maps by layer",
        "The feature maps of each site, sites in execution order, stacked by their V, the most vulnerable ones at the "
        "bottom and darkest (ISSRE 2021, figure 13). V is V_orig, the map's share of the work, times mean dLoss; times "
        "the SDC rate where no range limit makes mean dLoss a usable figure. Few faults a map leave single maps "
        "uncertain; the limits are in the data.",
        Table(
            ("model", *COLUMNS), [[run.name, *(row[c] for c in COLUMNS)] for run, maps in studied for row in maps.rows]
        ),
        [
            Panel(key("feature_maps", run.name), partial(_layers, run=run, maps=maps), run.name, 330)
            for run, maps in studied
        ],
    )
    converging = [(run, maps) for run, maps in studied if maps.convergences]
    if not converging:
        return
    yield Plot(
        "convergence",
        "Faults a feature map that order the maps",
        "Mean distance between what an order of the maps covers of the oracle's V and what the oracle's own order "
        f"does, for every number of maps; at {WITHIN} (the line) the order is 99 % similar (ISSRE 2021, figure 3). The "
        "oracle is the order by mismatch: of all faults, which include those of the order, or of the other half of "
        "them. The latter orders its own maps by chance too, so that no distance to it reaches 0.",
        Table(
            ("model", "independent", "oracle_faults", "faults", "distance_dloss", "distance_sdc"),
            [
                [run.name, found.independent, found.oracle, *row]
                for run, maps in converging
                for found in maps.convergences
                for row in zip(found.faults.tolist(), found.dloss.tolist(), found.sdc.tolist(), strict=True)
            ],
        ),
        [
            Panel(key("convergence", run.name), partial(_distances, maps=maps), run.name, 290)
            for run, maps in converging
        ],
    )


def _layers(axes: Axes, colours: Palette, *, run: Run, maps: MapStudy) -> None:
    metric = "v_dloss" if run.limited else "v_sdc"
    sites = list(dict.fromkeys(row["site"] for row in maps.rows))
    value_M = np.array([row[metric] or 0.0 for row in maps.rows])
    site_M = np.array([sites.index(row["site"]) for row in maps.rows])
    top = float(value_M.max())
    with np.errstate(divide="ignore"):
        below_M = (math.log10(top) - np.log10(value_M)) / STEP if top else np.full(len(value_M), np.inf)
    shade_M = np.minimum(below_M, SHADES - 1).astype(int)
    foot = np.zeros(len(sites))
    for shade in range(SHADES):
        height = np.bincount(site_M[shade_M == shade], minlength=len(sites))
        last = shade == SHADES - 1
        edge = number(top * 10 ** (-STEP * (shade if last else shade + 1)), 2)
        axes.bar(
            np.arange(len(sites)),
            height,
            0.9,
            foot,
            color=colours.model_1,
            alpha=1 - shade / SHADES,
            label=f"V below {edge}" if last else f"V above {edge}",
        )
        foot = foot + height
    if len(sites) <= NAMED:
        axes.set_xticks(range(len(sites)), [middle(site, 20) for site in sites], rotation=90)
    else:
        axes.set_xlabel("site, in execution order")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(visible=False)  # it would show through the lighter shades
    axes.set_ylabel("feature maps")
    scaled(axes.yaxis, logarithmic=False, shown=tick)


def _distances(axes: Axes, colours: Palette, *, maps: MapStudy) -> None:
    for found in maps.convergences:
        for place, (metric, name) in enumerate(METRICS.items()):
            axes.plot(
                found.faults,
                getattr(found, metric),
                color=colours.models[1 + place],
                linestyle=DASHES[int(found.independent)],
                marker=MARKS[place],
                markersize=3,
                label=f"{name}, {ORACLES[found.independent]}",
            )
    level(axes, WITHIN, colours.muted)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("faults a feature map")
    axes.set_ylabel("distance to the oracle")
    scaled(axes.xaxis, logarithmic=True, shown=tick)
    scaled(axes.yaxis, logarithmic=False, shown=tick)
