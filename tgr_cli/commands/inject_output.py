"""Output of `tgr inject` other than a whole campaign: a forecast, a shard, exact figures, a replayed fault."""

from typing import TYPE_CHECKING

from tgr_cli.commands.console import Console, count, duration, number, percent, size
from tgr_cli.errors import TgrError

if TYPE_CHECKING:
    from tgr_cli.campaign.exhaustive import Exact
    from tgr_cli.campaign.forecast import Forecast
    from tgr_cli.campaign.replay import ReplayedRow
    from tgr_cli.campaign.surface import Result as Surface
    from tgr_cli.steps.inject import Shard


def print_forecast(console: Console, planned: "Forecast", nodes: int | None = None) -> None:
    """Print the cost of a planned campaign, here and on this many machines."""
    if console.as_json:
        told = {name: value for name, value in vars(planned).items() if name != "costs"} | {"seconds": planned.seconds}
        console.json(told | ({"nodes": nodes, "seconds_a_node": planned.on(nodes)} if nodes else {}))
        return
    pilot = f", after a pilot of {planned.pilot:,}" if planned.pilot else ""
    console.line(
        f"{planned.run}: {planned.faults:,} faults{_rows(planned)} at {planned.sites:,} sites on "
        f"{planned.images:,} images, in {planned.units:,} units{pilot}"
    )
    console.line(f"about {duration(planned.on(1))} on this machine, and {size(planned.disk)} on disk while it runs")
    if nodes:
        console.line(
            f"on {nodes:,} machines such as this one, a shard each, about {duration(planned.on(nodes))}, of which "
            f"{duration(planned.start)} pass before the first fault{_idle(planned.idle(nodes))}"
        )


def _idle(machines: int) -> str:
    return f"; {machines:,} of them have nothing to do" if machines else ""


def print_shard(console: Console, shard: "Shard") -> None:
    """Print the size of a shard relative to its campaign."""
    if console.as_json:
        console.json(vars(shard))
        return
    console.line(
        f"{shard.run}: {shard.faults:,} of {shard.faults_in_all:,} faults{_rows(shard)}, in {shard.units:,} of "
        f'{shard.units_in_all:,} units; put all shards together with "tgr merge"'
    )


def _rows(of: "Forecast | Shard") -> str:
    return f" ({of.rows:,} rows)" if of.rows != of.faults else ""


def print_replay(console: Console, replay: "ReplayedRow") -> None:
    """Print a fault's stored result beside its replayed one; raises TgrError if they differ."""
    if console.as_json:
        console.json({"row": replay.row, "agrees": replay.agrees, "stored": replay.stored, "again": replay.again})
    else:
        rows = [(name, str(value), str(replay.again[name])) for name, value in replay.stored.items()]
        console.table(f"row {replay.row}", ("column", "stored", "again"), rows)
    if not replay.agrees:
        raise TgrError(
            f"row {replay.row} is stored as {replay.stored['outcome']} and came out as {replay.again['outcome']}; "
            "check that weights, data and library versions are those of the campaign"
        )


def print_surface(console: Console, surface: "Surface") -> None:
    """Print the network's figures under every kind of fault; those of the sites are in the artifact and in JSON."""
    if console.as_json:
        console.json({"run": surface.run, "anchors": surface.anchors, "rows": surface.rows})
        return
    rows = [
        (
            *(row["format"], row["fault_model"], percent(row["sdc_rate"])),
            *(percent(row["sdc_rate_low"]), percent(row["sdc_rate_high"])),
            *(number(row["mean_dloss"]), number(row["mean_dloss_low"]), number(row["mean_dloss_high"])),
        )
        for row in surface.rows
        if not row["site"]
    ]
    limits = ("lower\nlimit", "upper\nlimit")
    console.table(
        f"{surface.run}: {surface.anchors:,} neurons struck; means over sites",
        ("format", "fault model", "SDC rate\n(%)", *limits, "mean dLoss\n(nats)", *limits),
        rows,
    )


def print_exact(console: Console, exact: "Exact") -> None:
    """Print the exact figures of the last site."""
    if console.as_json:
        console.json(vars(exact))
        return
    outcomes = ", ".join(f"{count(found)} {name}" for name, found in exact.counts.items())
    console.line(f"{exact.run}, {exact.site}: {exact.faults:,} faults, all on {exact.images:,} images: {outcomes}")
    console.line(
        f"exactly: SDC rate {percent(exact.sdc_rate, 4)}, with non-finite outcomes {percent(exact.failure_rate, 4)}, "
        f"mean dLoss {number(exact.mean_dloss, 6)} nats"
    )
