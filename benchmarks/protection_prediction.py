"""Print how well the coverage of duplicated feature maps is predicted, by the number of faults a map.

python benchmarks/protection_prediction.py RUN --dataset DATA [--workdir runs] [--faults 8 16 …] [--target 0.9]

RUN has a golden run and a campaign of `tgr inject --granularity map`. For each number of faults a map, `tgr protect`
chooses maps from the first so many faults of every map on the analysis images, and all faults on the deployment images
judge the choice. Faults that are left out get weight 0, so that all else is as it was. `predicted` is the coverage on
the analysis images, `covered` that on the deployment images with its interval, `kept` whether the interval reaches up
to the prediction; with 1 fold, prediction and order rest on the same faults, as published.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import RunFolder, Workspace
from tgr_cli.artifacts.measurements import measured_run
from tgr_cli.artifacts.schemas import GOLDEN, INJECTIONS
from tgr_cli.protection import split
from tgr_cli.steps import protect

ORDERS = ("dloss", "mismatch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--workdir", type=Path, default=Path("runs"))
    parser.add_argument("--faults", type=int, nargs="+", default=[8, 16, 32, 64, 128, 256])
    parser.add_argument("--folds", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--target", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = measured_run(Workspace(options.workdir, options.dataset), options.run)
    print("| faults a map | folds | order | maps | overhead | predicted | covered | kept |")
    print("|---|---|---|---|---|---|---|---|")
    for faults in options.faults:
        with tempfile.TemporaryDirectory() as made:
            run = thinned(folder, Path(made) / folder.path.name, faults, options.seed)
            for folds in options.folds:
                for row in chosen(run, Path(made), folds, options):
                    print(f"| {faults} | {folds} | {line(row)}")


def thinned(folder: RunFolder, path: Path, faults: int, seed: int) -> Path:
    """Return a copy of a run's campaign, with weight 0 for all but the first faults of each map for analysis."""
    path.mkdir()
    shutil.copy(folder.golden, path / folder.golden.name)
    images = store.read(folder.golden, GOLDEN).column("image_id").tolist()
    analysed = np.array(images, object)[split.analysis(images, protect.Config(runs=["any"]).split, seed)]
    campaign = store.read(folder.injections, INJECTIONS)
    table, maps = campaign.table, campaign.fact("feature_maps")
    limit_N = np.array([faults * maps[name]["count"] for name in table["site"].to_pylist()])
    drop_N = (table["fault"].to_numpy() >= limit_N) & np.isin(table["image_id"].to_numpy(), analysed)
    weight_N = np.where(drop_N, 0.0, table["weight"].to_numpy())
    place = table.column_names.index("weight")
    kept = table.set_column(place, INJECTIONS.arrow.field("weight"), pa.array(weight_N))
    return store.write(path / folder.injections.name, INJECTIONS, kept, campaign.provenance)


def chosen(run: Path, out: Path, folds: int, options: argparse.Namespace) -> list[dict]:
    config = protect.Config(
        runs=[str(run)],
        technique=["flr"],
        order=ORDERS,
        folds=folds,
        target_coverage=options.target,
        seed=options.seed,
        name=options.dataset,
        workdir=options.workdir,
        out=out / f"protection-{folds}.parquet",
    )
    return [row for row in protect.run(config).rows if row["chosen"]]


def line(row: dict) -> str:
    covered = "–"
    if row["coverage_deployment"] is not None:
        low, high = (f"{100 * row[f'coverage_deployment_{end}']:.1f}" for end in ("low", "high"))
        covered = f"{100 * row['coverage_deployment']:.1f} % ({low} to {high})"
    kept = "yes" if (row["coverage_deployment_high"] or 0) >= row["coverage_analysis"] else "no"
    overhead, predicted = (f"{100 * row[name]:.1f} %" for name in ("overhead_deployment", "coverage_analysis"))
    return f"{row['order']} | {row['maps']} | {overhead} | {predicted} | {covered} | {kept} |"


if __name__ == "__main__":
    main()
