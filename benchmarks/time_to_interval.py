"""Print the time of tgr and of PyTorchFI to a 99 % interval of ±5 % of mean dLoss, or ±10 % of the SDC rate.

python benchmarks/time_to_interval.py INJECTIONS --model MODEL --checkpoint FILE --dataset parquet:FILE [--mean 0.5,…
--std 0.5,…] [--figure sdc] [--workdir runs] [--sites 12] [--threads 2] [--campaign "--images 2000 --target-ci
dloss=0.05"]

INJECTIONS is the artifact of a campaign with importance sampling, preferably with at least 4096 faults per site. Its
weights w and its faults' values d, their dLoss or whether they are SDCs, give the variance of a site's mean for both
samplings: for a uniform fault it is the mean of w·d² minus the squared mean of w·d; for importance sampling, the
variance of w·d. The network's mean is that over S sites with n faults each, so its variance is the sum of theirs /
(S²·n). This gives the n at which 2.576 standard errors are 5 % or 10 % of the mean.

This interval is over faults, conditional on these images. An interval for the population of images also contains the
variance between images, which no number of faults reduces; its half-width from that alone is printed too.

tgr's time is that of `tgr inject --injections n`, or with the options of --campaign instead, from start to end, with
planning and golden runs; the run must have its ranges. PyTorchFI's is n / its rate, with its model reused, at its best
batch size, measured with one batch at each of --sites evenly spaced sites. Its deep copies, golden run and ranges are
not counted.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from injection_speed import Z99, best_batch_size, timed, uncopied

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.campaign.subject import Subject
from tgr_cli.data.datasets import DataSource
from tgr_cli.data.transforms import PreprocessingOptions
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import FaultBatch, PyTorchFI
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.metrics.summary import FaultColumns
from tgr_cli.models.source import ModelSource
from tgr_cli.reporting import SILENT
from tgr_cli.steps import inject

WIDTHS = {"dloss": 0.05, "sdc": 0.1}
NAMES = {"dloss": "mean dLoss", "sdc": "SDC rate"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("injections", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--workdir", default="runs")
    parser.add_argument("--figure", choices=WIDTHS, default="dloss")
    for name in ("mean", "std", "campaign"):
        parser.add_argument(f"--{name}")
    for name, default in (("sites", 12), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    artifact = store.read(options.injections, INJECTIONS)
    figure, width = options.figure, WIDTHS[options.figure]
    found = variances(FaultColumns.read(artifact.table), figure)
    needed = {kind: int(np.ceil((Z99 / width) ** 2 * found[kind] / found["mean"] ** 2)) for kind in KINDS}
    print(f"{options.model}: {NAMES[figure]} {found['mean']:.4g} over {found['sites']} sites, to ±{width:.0%}")
    floor = Z99 * found["images"] ** 0.5 / found["mean"]
    print(f"  what the images differ in gives ±{floor:.1%}, at any number of faults")
    gains = found["gains"]
    worth = f"{min(gains):.1f} uniform ones at the least of {len(gains)} sites, {np.median(gains):.1f} in the median"
    print(f"  a fault by importance is worth {worth}")
    for kind in KINDS:
        print(f"  {kind}: {needed[kind]:,} faults a site")
    rate = pytorchfi_rate(options)
    peer = needed["uniform"] * found["sites"] / rate
    print(f"  PyTorchFI, re-used: {rate:.1f} faults/s, {peer:,.0f} s ({peer / 3600:.1f} h)")
    chosen = options.campaign or f"--injections {needed['importance']}"
    seconds, campaign = own_campaign(options, chosen)
    faults = FaultColumns.read(store.read(campaign, INJECTIONS).table)
    reached = variances(faults, figure)
    width = Z99 * reached["reached"] ** 0.5 / reached["mean"]
    print(f"  tgr inject {chosen}: {seconds:.0f} s, {len(faults):,} faults, came to ±{width:.1%} over faults")
    print(f"  PyTorchFI's time over tgr's: {peer / seconds:.0f}")


KINDS = ("uniform", "importance")


def variances(faults: FaultColumns, figure: str) -> dict[str, Any]:
    """Return the network's mean of a figure, its variances per fault and site for each sampling, and between images."""
    value_F = np.nan_to_num(faults.dloss) if figure == "dloss" else (faults.outcome == "sdc").astype(float)
    sites = list(dict.fromkeys(faults.site))
    images, image_F = np.unique(faults.image_id, return_inverse=True)
    uniform = importance = reached = mean = 0.0
    gains: list[float] = []
    score_N = np.zeros(len(images))
    for site in sites:
        at_F = faults.site == site
        d_F, w_F, of_F = value_F[at_F], faults.weight[at_F], image_F[at_F]
        site_mean = float((w_F * d_F).mean())
        by_chance, by_importance = float((w_F * d_F**2).mean()) - site_mean**2, float((w_F * d_F).var(ddof=1))
        if by_importance:
            gains.append(by_chance / by_importance)
        uniform += by_chance
        importance += by_importance
        reached += by_importance / at_F.sum()
        mean += site_mean
        score_N += np.bincount(of_F, w_F * d_F - site_mean, len(images)) / at_F.sum()
    count = len(sites)
    # The between-image variance is the variance of the images' scores in excess of that of independent faults.
    between = max(float((score_N**2).sum()) - reached, 0.0)
    return {
        "sites": count,
        "mean": mean / count,
        "uniform": uniform / count**2,
        "importance": importance / count**2,
        "reached": reached / count**2,
        "images": between / count**2,
        "gains": gains,
    }


def pytorchfi_rate(options: argparse.Namespace) -> float:
    """Return faults per second of PyTorchFI with its model reused, at its best batch size."""
    config = inject.Config(
        data=DataSource(dataset=options.dataset),
        preprocessing=PreprocessingOptions(mean=options.mean, std=options.std),
        source=ModelSource(model=options.model, checkpoint=options.checkpoint),
        workdir=Path(options.workdir),
        images=64,
        batch_size=64,
    )
    subject = Subject.open(config, SILENT)
    model, x_NCHW = subject.loaded.model, subject.load(np.arange(64))
    size = best_batch_size(model, tuple(x_NCHW.shape[1:]), [8, 16, 32, 64])
    peer = PyTorchFI(
        model, Network.capture(model, tuple(x_NCHW.shape[1:]), batch_size=size), Corruption(RangeLimit("none", {}))
    )
    peer.prepare(x_NCHW)
    seen = [site for site in peer.network.sites if site.name not in peer.unseen()]
    chosen = [seen[place * len(seen) // options.sites] for place in range(min(options.sites, len(seen)))]
    generator = torch.Generator().manual_seed(0)
    spent = 0.0
    for site in chosen:
        drawn = [torch.randint(0, bound, (size,), generator=generator) for bound in (len(x_NCHW), site.neurons, 32)]
        with uncopied():
            spent += timed(partial(peer.inject, FaultBatch(site, *drawn)))
    return size * len(chosen) / spent


def own_campaign(options: argparse.Namespace, chosen: str) -> tuple[float, Path]:
    """Return the wall time of `tgr inject` with the options `chosen`, and the path of its injections."""
    out = Path(tempfile.mkdtemp()) / "injections.parquet"
    given: dict[str, Any] = {name: getattr(options, name) for name in ("model", "checkpoint", "dataset", "workdir")}
    given |= {name: value for name in ("mean", "std") if (value := getattr(options, name))}
    given |= {"seed": 1, "out": out}
    arguments = [text for name, value in given.items() for text in (f"--{name}", str(value))] + chosen.split()
    start = time.perf_counter()
    command = [sys.executable, "-m", "tgr_cli", "inject", *arguments, "--json", "-q"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    network = json.loads(done.stdout)["network"]
    network = network["mean_dloss" if options.figure == "dloss" else "sdc_rate"]
    print(f"  the campaign's own interval, images and faults: {network['mean']:.4g} ({network['low']:.4g} to", end=" ")
    print(f"{network['high']:.4g})")
    return seconds, out


if __name__ == "__main__":
    main()
