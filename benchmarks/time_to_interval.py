"""Print how long a campaign takes to a 99 % interval of ±5 % of the network's mean dLoss: tgr's, and PyTorchFI's.

python benchmarks/time_to_interval.py INJECTIONS --model MODEL --checkpoint FILE --dataset parquet:FILE [--mean 0.5,…
--std 0.5,…] [--workdir runs] [--sites 12] [--threads 2] [--campaign "--images 2000 --target-ci dloss=0.05"]

INJECTIONS is the artifact of a campaign by importance, best at 4096 faults a site or more. Its weights w and losses d
give both variances of a site's mean dLoss: that of a fault drawn uniformly, the mean of w·d² less the squared mean of
w·d; and that of one drawn by importance, the variance of w·d. The network's mean dLoss is the mean over S sites, each
given n faults: its variance is the sum of theirs over S²·n. That gives the n at which 2.576 standard errors are 5 %.

It is the interval over faults, which speaks of these very images. One that speaks of images like these also holds what
the images differ in, and no number of faults brings it below that: the width that this alone gives is printed too.

tgr's time is that of `tgr inject --injections n`, or with the options that --campaign gives instead, from its start to
its end, planning and fault-free runs included; the run must have its ranges. PyTorchFI's is n over its rate, its model
re-used, at its best batch size, over --sites sites evenly spread, a batch at each; its own deep copies, fault-free run
and ranges are not charged to it.
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
from tgr_cli.faults.engines import PyTorchFI, Strike
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.metrics.summary import Faults
from tgr_cli.models.source import ModelSource
from tgr_cli.reporting import SILENT
from tgr_cli.steps import inject

WIDTH = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("injections", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--workdir", default="runs")
    for name in ("mean", "std", "campaign"):
        parser.add_argument(f"--{name}")
    for name, default in (("sites", 12), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    artifact = store.read(options.injections, INJECTIONS)
    found = variances(Faults.read(artifact.table))
    needed = {kind: int(np.ceil((Z99 / WIDTH) ** 2 * found[kind] / found["mean"] ** 2)) for kind in KINDS}
    print(f"{options.model}: mean dLoss of the network {found['mean']:.4g} nats over {found['sites']} sites")
    floor = Z99 * found["images"] ** 0.5 / found["mean"]
    print(f"  what the images differ in gives ±{floor:.1%}, at any number of faults")
    gains = found["gains"]
    print(f"  a fault by importance is worth {min(gains):.1f} uniform ones at the least of the sites,", end=" ")
    print(f"{np.median(gains):.1f} in the median; below 7 at {sum(gain < 7 for gain in gains)}")
    for kind in KINDS:
        print(f"  {kind}: {needed[kind]:,} faults a site")
    rate = pytorchfi_rate(options)
    peer = needed["uniform"] * found["sites"] / rate
    print(f"  PyTorchFI, re-used: {rate:.1f} faults/s, {peer:,.0f} s ({peer / 3600:.1f} h)")
    chosen = options.campaign or f"--injections {needed['importance']}"
    seconds, campaign = own_campaign(options, chosen)
    faults = Faults.read(store.read(campaign, INJECTIONS).table)
    reached = variances(faults)
    width = Z99 * reached["reached"] ** 0.5 / reached["mean"]
    print(f"  tgr inject {chosen}: {seconds:.0f} s, {len(faults):,} faults, came to ±{width:.1%} over faults")
    print(f"  PyTorchFI's time over tgr's: {peer / seconds:.0f}")


KINDS = ("uniform", "importance")


def variances(faults: Faults) -> dict[str, Any]:
    """Return the network's mean dLoss and variances: of a fault a site by each sampling, as it is, of images alone."""
    sites = list(dict.fromkeys(faults.site))
    images, image_F = np.unique(faults.image_id, return_inverse=True)
    uniform = importance = reached = mean = 0.0
    gains: list[float] = []
    score_N = np.zeros(len(images))
    for site in sites:
        at_F = faults.site == site
        d_F, w_F, of_F = np.nan_to_num(faults.dloss[at_F]), faults.weight[at_F], image_F[at_F]
        site_mean = float((w_F * d_F).mean())
        by_chance, by_importance = float((w_F * d_F**2).mean()) - site_mean**2, float((w_F * d_F).var(ddof=1))
        gains.append(by_chance / by_importance)
        uniform += by_chance
        importance += by_importance
        reached += by_importance / at_F.sum()
        mean += site_mean
        score_N += np.bincount(of_F, w_F * d_F - site_mean, len(images)) / at_F.sum()
    count = len(sites)
    # What the images' scores vary by beyond what independent faults would give is what the images differ in.
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
    """Return faults per second of PyTorchFI on the model, re-used, at its best batch size."""
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
    peer = PyTorchFI(model, Network.capture(model, tuple(x_NCHW.shape[1:]), batch_size=size), RangeLimit("none", {}))
    peer.prepare(x_NCHW)
    seen = [site for site in peer.network.sites if site.name not in peer.unseen()]
    chosen = [seen[place * len(seen) // options.sites] for place in range(min(options.sites, len(seen)))]
    generator = torch.Generator().manual_seed(0)
    spent = 0.0
    for site in chosen:
        drawn = [torch.randint(0, bound, (size,), generator=generator) for bound in (len(x_NCHW), site.neurons, 32)]
        with uncopied():
            spent += timed(partial(peer.inject, Strike(site, *drawn)))
    return size * len(chosen) / spent


def own_campaign(options: argparse.Namespace, chosen: str) -> tuple[float, Path]:
    """Return the wall time of `tgr inject` with the options `chosen`, and its injections."""
    out = Path(tempfile.mkdtemp()) / "injections.parquet"
    given: dict[str, Any] = {name: getattr(options, name) for name in ("model", "checkpoint", "dataset", "workdir")}
    given |= {name: value for name in ("mean", "std") if (value := getattr(options, name))}
    given |= {"seed": 1, "out": out}
    arguments = [text for name, value in given.items() for text in (f"--{name}", str(value))] + chosen.split()
    start = time.perf_counter()
    command = [sys.executable, "-m", "tgr_cli", "inject", *arguments, "--json", "-q"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    network = json.loads(done.stdout)["network"]["mean_dloss"]
    print(f"  the campaign's own interval, images and faults: {network['mean']:.4g} ({network['low']:.4g} to", end=" ")
    print(f"{network['high']:.4g})")
    return seconds, out


if __name__ == "__main__":
    main()
