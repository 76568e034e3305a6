"""Print Spearman's coefficient between the SDC rate of images under faults and their golden Top2Diff.

python benchmarks/top2diff_and_sdc.py MODEL --dataset D [--checkpoint F] [--images 200] [--faults 1000] [--threads 2]

ISSRE 2021 (section IV-B) reports -0.93 for an INT8 AlexNet. Here, in float32, every image gets the same number of
faults, uniform over the network's neurons and bits, clamped to the profiled range of the site. Images are evenly spaced
among those classified correctly. If the run has no ranges, they are profiled on the evaluation images.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from tgr_cli import seeding
from tgr_cli.campaign import profiling, ranges
from tgr_cli.campaign.subject import Subject
from tgr_cli.data.datasets import DataSource
from tgr_cli.data.transforms import PreprocessingOptions
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import ENGINES, Engine, FaultBatch
from tgr_cli.faults.engines.memory import MEMORY
from tgr_cli.faults.formats import width
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.metrics.outcomes import judge, predictions
from tgr_cli.metrics.top2diff import top2
from tgr_cli.models.source import ModelSource
from tgr_cli.reporting import Reporter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--workdir", type=Path, default=Path("runs"))
    parser.add_argument("--crop", type=int)
    for name, default in (("images", 200), ("faults", 1000), ("batch-size", 32), ("threads", 2), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    measure(options)


def measure(options: argparse.Namespace) -> None:
    """Measure one model and print one line."""
    settings = profiling.Config(
        data=DataSource(dataset=options.dataset),
        preprocessing=PreprocessingOptions(crop=options.crop),
        source=ModelSource(model=options.model, checkpoint=options.checkpoint),
        batch_size=options.batch_size,
        workdir=options.workdir,
    )
    subject = Subject.open(settings, Reporter())
    network = subject.network("conv,linear")
    limit = RangeLimit("clamp", ranges.of_neurons(subject, network, path=None, targets="conv,linear").max_abs)
    golden = subject.classify()
    right = np.flatnonzero(predictions(golden.logits_NC) == subject.images.labels)
    chosen = right[np.linspace(0, len(right) - 1, options.images).astype(int)]
    engine = ENGINES["auto"](subject.loaded.model, network, Corruption(limit), memory=MEMORY)
    rates, start = [], time.perf_counter()
    for lot in np.array_split(chosen, -(-len(chosen) // engine.images_at_once)):
        rates.append(sdc_rates(engine, subject, lot, options.faults, options.seed))
    seconds = time.perf_counter() - start
    rate_I = np.concatenate(rates)
    top1_I, top2_I = top2(golden.logits_NC[torch.from_numpy(chosen)])
    found = spearmanr(rate_I, top1_I - top2_I)
    total = options.faults * options.images
    print(
        f"{options.model}: {options.images} images × {options.faults} faults, SDC rate {rate_I.mean():.4%}, in", end=" "
    )
    print(f"in {(rate_I > 0).sum()} images at all; Spearman with Top2Diff {found.statistic:.3f}", end=" ")
    print(f"(p {found.pvalue:.2g}); {seconds:.0f} s, {total / seconds:.0f} faults/s on {options.threads} threads")


def sdc_rates(engine: Engine, subject: Subject, images: np.ndarray, faults: int, seed: int) -> np.ndarray:
    """Return the SDC rate of `faults` faults for each of these images of the pool."""
    golden_KC = engine.prepare(subject.load(images))
    sites = engine.network.sites
    ends_S = np.cumsum([site.neurons for site in sites])
    words_KF = np.stack([seeding.words(seed, "top2diff", int(image), count=faults) for image in images])
    neuron_KF = seeding.below(words_KF[..., 0], int(ends_S[-1]))
    bit_KF = seeding.below(words_KF[..., 1], width(engine.network.dtype))
    site_KF = np.searchsorted(ends_S, neuron_KF, side="right")
    sdc_KF = np.zeros(site_KF.shape, bool)
    for number, site in enumerate(sites):
        place_F, fault_F = np.nonzero(site_KF == number)
        if not len(place_F):
            continue
        element_F = neuron_KF[place_F, fault_F] - (ends_S[number] - site.neurons)
        rows_F = torch.from_numpy(place_F)
        choices_F = torch.from_numpy(bit_KF[place_F, fault_F])
        struck = engine.inject(FaultBatch(site, rows_F, torch.from_numpy(element_F), choices_F))
        labels_F = torch.from_numpy(subject.images.labels[images[place_F]])
        sdc_KF[place_F, fault_F] = judge(golden_KC[rows_F], struck.logits_FC, labels_F).columns()["outcome"] == "sdc"
    return sdc_KF.mean(axis=1)


if __name__ == "__main__":
    main()
