"""Print accuracy, SDC rate, mean dLoss, and the SDC rate by field, of one model in several number formats, as Markdown.

python benchmarks/formats_table.py GOLDEN.parquet=INJECTIONS.parquet …

The files of `tgr evaluate` and of `tgr inject`, a pair for each format. Accuracy is over all images, with the exact
(Clopper-Pearson) 99 % interval; rates and mean dLoss are means over sites, with the intervals of the campaign.
"""

import argparse
from pathlib import Path

from scipy.stats import binomtest

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.campaign import results, runs
from tgr_cli.campaign.struck_fields import struck_fields
from tgr_cli.metrics import breakdown, summary

COLUMNS = "format", "accuracy", "SDC rate", "with non-finite", "mean dLoss, nats", "SDC rate by field"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+")
    options = parser.parse_args()
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for pair in options.pairs:
        golden, injections = pair.split("=")
        print("| " + " | ".join(row(Path(golden), Path(injections))) + " |", flush=True)


def row(golden: Path, path: Path) -> tuple[str, ...]:
    """Return the cells of one row of the table."""
    correct_N = runs.correct(runs.read_golden(golden)[1])
    exact = binomtest(int(correct_N.sum()), len(correct_N)).proportion_ci(0.99)
    injections = store.read(path, INJECTIONS)
    config, form = injections.provenance.config, injections.fact("struck_format")
    figures = summary.network(injections.fact("sites"), results.read(injections.table, config), config["confidence"])
    struck = breakdown.FaultRows.read(injections.table, results.clusters(config), results.strata(config))
    field_N = struck_fields(injections, form)
    if field_N is None:
        fields = breakdown.by_field(struck, form["fields"], config["confidence"])
    else:
        fields = breakdown.by_struck_field(struck, field_N, config["confidence"])
    fields.sort(key=lambda field: -field["high"])
    return (
        form["name"],
        f"{correct_N.mean():.1%} ({exact.low:.1%} to {exact.high:.1%})",
        *(percent(one.mean, one.low, one.high) for one in (figures.sdc_rate, figures.failure_rate)),
        f"{figures.mean_dloss.mean:.3g} ({figures.mean_dloss.low:.3g} to {figures.mean_dloss.high:.3g})",
        "; ".join(f"{one['field']} {percent(one['sdc'], one['sdc_low'], one['sdc_high'])}" for one in fields),
    )


def percent(mean: float, low: float, high: float) -> str:
    return f"{100 * mean:.2f} ({100 * low:.2f} to {100 * high:.2f}) %"


if __name__ == "__main__":
    main()
