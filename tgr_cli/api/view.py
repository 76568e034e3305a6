"""What a notebook shows of a run."""

from collections.abc import Sequence
from html import escape

from tgr_cli.api.table import Table
from tgr_cli.metrics.intervals import Estimate
from tgr_cli.metrics.summary import NetworkEstimates

COLUMNS = ("site", "op", "faults")
ESTIMATES = ("sdc_rate", "mean_dloss")


def page(name: str, lines: Sequence[str], sites: Table | None) -> str:
    """Return a run's name, its figures, and its sites as HTML."""
    told = "".join(f"<br>{escape(line)}" for line in lines)
    return f"<p><b>{escape(name)}</b>{told}</p>" + (_sites(sites) if sites else "")


def in_words(network: NetworkEstimates, confidence: float) -> str:
    """Return the network's estimates as a line."""
    rate, dloss = network.sdc_rate, network.mean_dloss
    return (
        f"SDC rate {rate.mean:.2%} ({rate.low:.2%} to {rate.high:.2%}), mean dLoss {_plain(dloss)} nats "
        f"({confidence:.0%} intervals, sites alike)"
    )


def _plain(estimate: Estimate) -> str:
    return f"{estimate.mean:.4g} ({estimate.low:.4g} to {estimate.high:.4g})"


def _sites(sites: Table) -> str:
    names = [*COLUMNS, *(f"{name}{end}" for name in ESTIMATES for end in ("", "_low", "_high"))]
    return Table(sites.arrow.select(names))._repr_html_()
