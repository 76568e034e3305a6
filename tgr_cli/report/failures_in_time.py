"""Failures in time: each model's rates in all, and the rate of dangerous undetected faults by site."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes

from tgr_cli.artifacts.schemas import FIT
from tgr_cli.report.figure import Block, Panel, Plot, Said, Section, Table
from tgr_cli.report.measured import key
from tgr_cli.report.plotting import decades, middle, scaled, spread_out
from tgr_cli.report.theme import Palette
from tgr_cli.report.words import count, number, percent, tick

Row = Mapping[str, Any]  # a row of `fit`
RATES = {"fit_undetected": "λ_DU (FIT)", "fit_detected": "λ_DD (FIT)"}
SHARES = {"safe_fraction": "safe fraction", "diagnostic_coverage": "diagnostic coverage", "spfm": "SPFM"}


def section(rows: Sequence[Row], config: Mapping[str, Any], left_out: Mapping[str, Sequence[str]]) -> Section:
    """Return the section on `rows` of `fit`; `config` and `left_out` are what that artifact records."""
    said = [Said(model, " ".join(sentences)) for model, sentences in left_out.items()]
    return Section("failures", "Failures in time", said, blocks=[_table(rows, config)], figures=[_figure(rows, config)])


def _table(rows: Sequence[Row], config: Mapping[str, Any]) -> Block:
    cells = [
        (
            row["model"],
            count(row["bits"]),
            number(row["fit"]),
            *(_with_limits(row, name, number) for name in RATES),
            *(_with_limits(row, name, percent) for name in SHARES),
        )
        for row in rows
        if not row["site"]
    ]
    return Block(("model", "bits", "λ (FIT)", *RATES.values(), *SHARES.values()), cells, f"All sites. {_basis(config)}")


def _figure(rows: Sequence[Row], config: Mapping[str, Any]) -> Plot:
    models = list(dict.fromkeys(row["model"] for row in rows))
    by_site = {model: [row for row in rows if row["model"] == model and row["site"]] for model in models}
    return Plot(
        "failures-in-time",
        "Dangerous undetected faults by site",
        f"Rate λ_DU of each site with its interval, in execution order from the top. {_basis(config)}",
        Table(FIT.arrow.names, [[row[name] for name in FIT.arrow.names] for row in rows]),
        [
            Panel(key("failures_in_time", model), partial(_draw, rows=own), model, 70 + 17 * len(own))
            for model, own in by_site.items()
        ],
    )


def _basis(config: Mapping[str, Any]) -> str:
    return (
        f"Raw rate {config['raw_fit']:g} FIT per {config['per']}, exposure {config['exposure']}, non-finite logits "
        f"{config['non_finite']}; two-sided intervals at {percent(config['confidence'], 0)}. 1 FIT: one in 10⁹ hours."
    )


def _with_limits(row: Row, name: str, shown: Any) -> str:
    if row[name] is None:
        return str(shown(None))
    return f"{shown(row[name])} ({shown(row[f'{name}_low'])} to {shown(row[f'{name}_high'])})"


def _draw(axes: Axes, colours: Palette, *, rows: Sequence[Row]) -> None:
    values = [row["fit_undetected"] for row in rows]
    highs = [row["fit_undetected_high"] for row in rows]
    logarithmic = spread_out([*(value for value in values if value), *(high for high in highs if high)])
    edge = 0.0
    if logarithmic:
        low, high = decades([value for value in (*values, *highs) if value])
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        edge = low
    for place, row in enumerate(rows):
        ends = [max(row["fit_undetected_low"], edge), max(row["fit_undetected_high"], edge)]
        axes.plot(ends, [place, place], color=colours.models[0], linewidth=1.1)
        inside = row["fit_undetected"] > edge or not logarithmic
        at = max(row["fit_undetected"], edge)
        axes.plot([at], [place], "o" if inside else "<", color=colours.models[0], markersize=4, clip_on=False)
    axes.set_yticks(range(len(rows)), [middle(row["site"], 27) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("λ_DU (FIT)")
    scaled(axes.xaxis, logarithmic=logarithmic, shown=tick)
    if not logarithmic:
        axes.set_xlim(left=0)
