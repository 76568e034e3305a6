"""Print, for each site, how many uniform faults one fault of importance sampling is worth, on real weights.

python benchmarks/importance_gain.py MODEL --checkpoint FILE --dataset parquet:FILE [--profile-on FILE] [--mean 0.5,…
--std 0.5,…] [--pool 1000] [--images 128] [--faults 512] [--csv FILE]

The gain is the ratio of the variances of a fault's contribution to the mean dLoss. Both are estimated from one campaign
with importance sampling, with weights w and dLoss d. The variance of a uniform fault is the mean of w·d² minus the
squared mean of w·d; this is much less noisy than a uniform campaign of equal size, in which most faults have no effect.
`gain` treats faults as independent; `same images` excludes the variance between images, for an interval conditional on
these images. `top 5` is the share of the five largest contributions in importance sampling's variance; where it is
close to 1, the gain is only a rough estimate.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch

from tgr_cli.campaign import profiling
from tgr_cli.campaign.labelled import LabelledPool
from tgr_cli.campaign.subject import Subject
from tgr_cli.data.datasets import DataSource
from tgr_cli.data.transforms import PreprocessingOptions
from tgr_cli.faults import units
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import Auto
from tgr_cli.faults.fault_models import Choices, Flip
from tgr_cli.faults.formats import format_of
from tgr_cli.faults.gradients import Gradients
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sampling import importance
from tgr_cli.models.source import ModelSource
from tgr_cli.reporting import SILENT
from tgr_cli.steps import inject

MEMORY = 2 << 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    for name in ("profile-on", "mean", "std", "csv"):
        parser.add_argument(f"--{name}")
    for name, default in (("pool", 1000), ("images", 128), ("faults", 512), ("threads", 2), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    plan, dloss_F, seconds = run(options)
    rows = [gains(plan.take(plan.site_F == s), dloss_F[plan.site_F == s]) for s in range(len(plan.sites))]
    print(f"{options.model}: {options.faults} faults a site on {options.images} images; planned in ", end="")
    print(f"{seconds[0]:.0f} s of processor time, injected in {seconds[1]:.0f} s")
    print(f"{'site':32}{'mean dLoss':>12}{'gain':>8}{'same images':>13}{'top 5':>7}")
    for site, row in zip(plan.sites, rows, strict=True):
        print(f"{site.name:32}{row['mean']:12.3g}{row['gain']:8.1f}{row['same images']:13.1f}{row['top 5']:7.2f}")
    for name in ("gain", "same images"):
        values = [row[name] for row in rows]
        print(f"{name}: smallest {min(values):.1f}, median {np.median(values):.1f}, largest {max(values):.1f}")
    if options.csv:
        with Path(options.csv).open("w", newline="") as file:
            writer = csv.DictWriter(file, ["site", *rows[0]])
            writer.writeheader()
            writer.writerows({"site": site.name, **row} for site, row in zip(plan.sites, rows, strict=True))


def run(options: argparse.Namespace) -> tuple[Plan, np.ndarray, tuple[float, float]]:
    """Return a plan by importance, the dLoss of its faults (0 if not finite), and CPU seconds for plan and faults."""
    config = inject.Config(
        data=DataSource(dataset=options.dataset),
        preprocessing=PreprocessingOptions(mean=options.mean, std=options.std),
        source=ModelSource(model=options.model, checkpoint=options.checkpoint),
        images=options.pool,
        batch_size=64,
    )
    subject = Subject.open(config, SILENT)
    pool = LabelledPool(subject, "true", everything=False)
    labels_N, eligible_N, doubt_N = pool.labels, pool.eligible, pool.doubt
    eligible_N[np.flatnonzero(eligible_N)[options.images :]] = False
    network = subject.network("conv,linear")
    ranges = profiling.profile(profiled(subject, options.profile_on), network)
    corruption = Corruption(RangeLimit("clamp", dict(zip(ranges["site"], ranges["max_abs"], strict=True))))
    start = time.process_time()
    plan = importance.draw(
        network.sites,
        eligible_N,
        np.full(len(network.sites), options.faults),
        gradients=Gradients.capture(subject.loaded.model, network, memory=MEMORY),
        corruption=corruption,
        load=subject.load,
        labels_N=labels_N,
        doubt_N=doubt_N,
        choices=Choices(Flip(), format_of(subject.dtype)),
        seed=options.seed,
    )
    planned = time.process_time()
    found = units.run(Auto(subject.loaded.model, network, corruption, memory=MEMORY), plan, subject.load, labels_N)
    return plan, np.nan_to_num(found["dloss"]), (planned - start, time.process_time() - planned)


def profiled(subject: Subject, path: str | None) -> Subject:
    """Return the subject for profiling ranges, with images of another file or its own."""
    images = profiling.split(DataSource(dataset=f"parquet:{path}")) if path else subject.images
    return Subject(subject.settings, images.sample(min(len(images), 256)), subject.loaded, SILENT)


def gains(plan: Plan, dloss_F: np.ndarray) -> dict[str, float]:
    """Return the gain at one site, with and without the variance between images."""
    weighted_F = plan.weight_F * dloss_F
    mean, uniform_square, square = weighted_F.mean(), (plan.weight_F * dloss_F**2).mean(), (weighted_F**2).mean()
    total_N, faults_N = np.bincount(plan.image_F, weighted_F), np.bincount(plan.image_F)
    squares_N = np.bincount(plan.image_F, weighted_F**2)
    several_N = faults_N > 1
    # The mean product of two faults in one image is an unbiased estimate of the squared mean of its contributions.
    products_N = (total_N**2 - squares_N)[several_N] / (faults_N * (faults_N - 1))[several_N]
    between = max(float(np.average(products_N, weights=faults_N[several_N])) - mean**2, 0.0) if len(products_N) else 0.0
    largest_F = np.sort(weighted_F**2)[::-1]
    return {
        "mean": float(mean),
        "gain": float((uniform_square - mean**2) / (square - mean**2)),
        "same images": float((uniform_square - mean**2) / (square - mean**2 - between)),
        "top 5": float(largest_F[:5].sum() / largest_F.sum()),
    }


if __name__ == "__main__":
    main()
