"""What a notebook shows of a run."""

from html import escape
from typing import TYPE_CHECKING

from tgr_cli.api.table import Table
from tgr_cli.metrics.intervals import Estimate

if TYPE_CHECKING:
    from tgr_cli.api.run import Run

COLUMNS = ("site", "op", "faults")
ESTIMATES = ("sdc_rate", "mean_dloss")


def html(run: "Run") -> str:
    """Return the run's name, its figures, and its sites."""
    lines = []
    if run.golden is not None:
        lines.append(f"accuracy {run.accuracy:.2%} of {len(run.golden):,} images")
    if run.network is not None:
        confidence = run.injections.facts["config"]["confidence"] if run.injections else 0
        lines.append(
            f"SDC rate {_rate(run.network.sdc_rate)}, mean dLoss {_plain(run.network.mean_dloss)} nats "
            f"({confidence:.0%} intervals, sites alike)"
        )
    told = "".join(f"<br>{escape(line)}" for line in lines)
    return f"<p><b>{escape(run.name)}</b>{told}</p>" + (_sites(run.sites) if run.sites else "")


def _rate(estimate: Estimate) -> str:
    return f"{estimate.mean:.2%} ({estimate.low:.2%} to {estimate.high:.2%})"


def _plain(estimate: Estimate) -> str:
    return f"{estimate.mean:.4g} ({estimate.low:.4g} to {estimate.high:.4g})"


def _sites(sites: Table) -> str:
    names = [*COLUMNS, *(f"{name}{end}" for name in ESTIMATES for end in ("", "_low", "_high"))]
    return Table(sites.arrow.select([name for name in names if name in sites.arrow.column_names]))._repr_html_()
