"""Print accuracy, SDC rate and mean dLoss of several runs with their intervals, as a Markdown table.

python benchmarks/campaign_table.py RUN… [--injections NAME] [--count-by sites|neurons|macs]

RUN is a run folder with golden.parquet and the injections written by `tgr inject`; --injections selects another file.
Accuracy is over all images, with the exact (Clopper-Pearson) 99 % interval. Rates are means over sites, or count
neurons or multiply-accumulates alike; mean dLoss is the mean over sites in any case.
"""

import argparse
from pathlib import Path

from scipy.stats import binomtest

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.campaign import results, runs
from tgr_cli.metrics import population, summary
from tgr_cli.metrics.estimates import share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--injections", default="injections.parquet")
    parser.add_argument("--count-by", choices=population.COUNT_BY, default="sites")
    options = parser.parse_args()
    print("| run | accuracy | SDC rate | SDC + non-finite | mean dLoss, nats | faults |\n|---|---|---|---|---|---|")
    for folder in options.runs:
        print(row(folder, options.injections, options.count_by))


def row(folder: Path, name: str, count_by: str) -> str:
    """Return one row of the table."""
    _, golden = runs.read_golden(folder / "golden.parquet")
    correct_N = runs.correct(golden)
    exact = binomtest(int(correct_N.sum()), len(correct_N)).proportion_ci(0.99)
    injections = store.read(folder / name, INJECTIONS)
    config, sites = injections.provenance.config, injections.provenance.extra["sites"]
    faults = results.read(injections.table, config)
    figures = summary.network(sites, faults, config["confidence"])
    names = [site["site"] for site in sites]
    struck = population.of(sites, count_by, config["targets"]).coefficients(names)
    estimates = (faults.sdc_rates(names), faults.failure_rates(names))
    accuracy = f"{correct_N.mean():.2%} ({exact.low:.2%} to {exact.high:.2%})"
    shares = (share(each, struck, config["confidence"]) for each in estimates)
    rates = (f"{one.mean:.4%} ({one.low:.4%} to {one.high:.4%})" for one in shares)
    dloss = figures.mean_dloss
    shown = "-" if config["limit"] == "none" else f"{dloss.mean:.4g} ({dloss.low:.4g} to {dloss.high:.4g})"
    return (
        f"| {folder.parent.parent.name} {folder.name} | {accuracy} | {' | '.join(rates)} | {shown} | {len(faults):,} |"
    )


if __name__ == "__main__":
    main()
