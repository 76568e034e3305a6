"""Output of a finished campaign: one row per site, then the network's figures."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tgr_cli.commands.console import Console, count, in_percent, number, percent

if TYPE_CHECKING:
    from tgr_cli.campaign.results import Written
    from tgr_cli.metrics.summary import Gate

COLUMNS = (
    *("site", "SDC rate (%)", "mean dLoss (nats)", "lower limit", "upper limit"),
    *("op", "faults", "sdc", "non-finite", "masked", "benign"),
)


def print_campaign(console: Console, result: "Written", *, gate: "Gate | None" = None, verified: int = 0) -> None:
    """Print the sites' rows and the network's figures of a finished campaign."""
    figures = result.network
    if console.as_json:
        console.json(
            {
                "run": result.run,
                "format": result.format,
                "struck_format": result.struck_format,
                "fault_model": result.fault_model,
                "pattern": result.pattern,
                "faults": result.faults,
                "rows": result.rows,
                "verified": verified,
                "network": _named(vars(figures)),
                "gate": gate and gate.facts,
                "sites": result.sites,
                "injections": result.injections,
                "vulnerability": result.vulnerability,
                "warning": result.warning,
                "maps": result.maps and {**vars(result.maps), "v_cnn": _named(result.maps.v_cnn)},
            }
        )
        return
    console.table(
        f"{result.run}: {faults_of(result.faults, result.rows)}; {result.faults_are} in {result.format}",
        COLUMNS,
        [_cells(row) for row in result.sites],
        ("mean dLoss", [row["mean_dloss"] or 0.0 for row in result.sites]),
        head=5,
    )
    console.line(
        f"network, mean over sites: SDC rate {_with_interval(figures.sdc_rate, percent)}, "
        f"with non-finite outcomes {_with_interval(figures.failure_rate, percent)}, "
        f"mean dLoss {_with_interval(figures.mean_dloss, number, mark=True)} nats"
    )
    if len({row["per_image"] for row in result.sites}) > 1:
        console.line(
            "the same over sites whose output depends on the image: "
            f"mean dLoss {_with_interval(figures.mean_dloss_per_image, number, mark=True)} nats"
        )
    console.line(
        "network, weighted by share of MACs (V_CNN): "
        f"mean dLoss {_with_interval(figures.v_cnn_share, number, mark=True)} nats"
    )
    if result.maps:
        console.line(
            f"the same over {len(result.maps.rows):,} feature maps by mismatch: "
            f"SDC rate {_with_interval(result.maps.v_cnn['v_sdc'], percent)}"
        )
    if verified:
        console.line(f"verified: {verified:,} random faults came out the same through full")
    if not result.limited:
        console.note(
            "without a range limit a few faults dominate every mean dLoss, so it is no usable figure: use the rates, "
            "or --limit clamp"
        )
    if result.warning:
        console.note(result.warning)
    sound = [row["reliable"] and row["sdc_rate_reliable"] for row in result.sites]
    if not all([*sound, figures.mean_dloss.reliable, figures.v_cnn_share.reliable]):
        console.note("~ marks figures that rest on too few images or faults: use more --injections, or more --images")


def _named(estimates: Mapping[str, Any]) -> dict[str, Any]:
    """Return estimates with the names of their fields, for JSON."""
    return {name: value._asdict() if hasattr(value, "_asdict") else value for name, value in estimates.items()}


def faults_of(faults: int, rows: int) -> str:
    """Return the number of faults in words, and of their rows if lasting faults have several."""
    tried = f", each with a row for every image that it is tried on ({rows:,} in all, by outcome)"
    return f"{faults:,} faults{tried if rows != faults else ''}"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    counts = (count(row[name]) for name in ("faults", "sdc", "non_finite", "masked", "benign"))
    mean, low, high = (number(row[f"mean_dloss{end}"], 3) for end in ("", "_low", "_high"))
    mark, of_rate = ("" if row[name] else "~" for name in ("reliable", "sdc_rate_reliable"))
    return row["site"], of_rate + in_percent(row["sdc_rate"]), mean, mark + low, high, row["op"], *counts


def _with_interval(estimate: Any, shown: Callable[[float], str], *, mark: bool = False) -> str:
    """Return an estimate with its interval; with `mark`, unreliable intervals are marked."""
    marked = "~" if mark and not estimate.reliable else ""
    return f"{shown(estimate.mean)} ({marked}{shown(estimate.low)} to {shown(estimate.high)})"
