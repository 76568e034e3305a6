"""Print how many faults a feature map order the maps, and how alike campaigns order them.

python benchmarks/feature_map_order.py [--faults 64,128,…] [--oracle INJECTIONS.parquet] INJECTIONS.parquet …

The campaigns are of `tgr inject --granularity map`. For each: V_CNN, and the distance of the order by mean dLoss and by
mismatch to the order by mismatch of all faults (as ISSRE 2021, figure 3 and table II), and of the half of the faults
that were not ordered by; with --oracle instead to that of all faults of another campaign. Of several campaigns on the
same maps: the distance between their orders by mean dLoss, and the largest difference of a map's share of V_CNN (ISSRE
2021, figure 14), between the first half of the faults of one and the second half of the other; those of one campaign
with itself are what equal campaigns give.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy import stats

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.campaign import feature_maps
from tgr_cli.metrics.convergence import Convergence, MapDraws, convergences, distance


def table(columns: list[str], rows: list[list[str]]) -> None:
    for row in (columns, ["---"] * len(columns), *rows):
        print(f"| {' | '.join(row)} |")
    print()


def converged(found: Convergence) -> None:
    print(f"\nTo the oracle of {found.oracle:,} {'other ' if found.independent else ''}faults a map:\n")
    rows = zip(found.faults, found.dloss, found.sdc, strict=True)
    table(["faults a map", "by mean dLoss", "by mismatch"], [[f"{n:,}", f"{d:.4f}", f"{m:.4f}"] for n, d, m in rows])
    for within in (0.01, 0.02, 0.05):
        needed = [found.needed(metric, within) for metric in ("dloss", "sdc")]
        ratio = f"{needed[1] / needed[0]:.1f}" if all(needed) else "-"
        print(f"within {within} from: {needed[0]} by mean dLoss, {needed[1]} by mismatch; ratio {ratio}")


def alike(campaigns: dict[str, MapDraws]) -> None:
    halves = {name: [half.vulnerability("dloss") for half in draws.halves()] for name, draws in campaigns.items()}
    rows = []
    for one, (first_M, _) in halves.items():
        for other, (_, second_M) in halves.items():
            apart = np.abs(first_M / first_M.sum() - second_M / second_M.sum()).max()
            rho = stats.spearmanr(first_M, second_M).statistic
            rows.append([one, other, f"{distance(first_M, second_M):.4f}", f"{rho:.3f}", f"{100 * apart:.3f} %"])
    table(["first half of", "second half of", "distance", "Spearman's rho", "largest difference of a share"], rows)


def drawn(path: Path) -> MapDraws:
    return feature_maps.draws(store.read(path, INJECTIONS, columns=feature_maps.DRAWS))


def to_other(draws: MapDraws, oracle: MapDraws, tried: list[int]) -> Convergence:
    oracle_M, first = oracle.vulnerability("sdc"), [draws.first(faults) for faults in tried]
    by = {name: np.array([distance(each.vulnerability(name), oracle_M) for each in first]) for name in ("dloss", "sdc")}
    return Convergence(np.array(tried), **by, oracle=oracle.faults, independent=True)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("injections", type=Path, nargs="+")
    asked.add_argument("--faults", default="", help="numbers of faults a map, separated by commas (default: doubling)")
    asked.add_argument("--oracle", type=Path, help="a campaign on the same maps, with other faults")
    given = asked.parse_args()
    tried = [int(number) for number in given.faults.split(",") if number]
    if given.oracle and not tried:
        asked.error("--oracle needs --faults")
    oracle, campaigns = drawn(given.oracle) if given.oracle else None, {}
    for path in given.injections:
        draws = campaigns[path.stem] = drawn(path)
        maps = feature_maps.read(path)
        hits = int(draws.sdc.sum())
        print(f"## {path.stem}: {len(draws.v_orig):,} maps, {draws.faults:,} faults each, {hits:,} SDCs\n")
        for name, (value, low, high) in maps.fact("v_cnn").items():
            print(f"V_CNN, {name}: {value:.4g} ({low:.4g} to {high:.4g})")
        for found in [to_other(draws, oracle, tried)] if oracle else convergences(draws, tried):
            converged(found)
        print()
    if len(campaigns) > 1:
        print("## How alike the orders by mean dLoss are\n")
        alike(campaigns)


if __name__ == "__main__":
    main()
