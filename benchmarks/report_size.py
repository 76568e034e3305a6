"""Measure time and memory of `tgr report`, and the size of its page, for many models and sites.

    python benchmarks/report_size.py [--models 14] [--sites 100] [--faults 4096] [--images 5000] [--keep FOLDER]

The rows are synthetic: random outcomes and losses in the form of real artifacts. The numbers on the page are
meaningless.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import RunFolder
from tgr_cli.artifacts.provenance import sha256_file
from tgr_cli.artifacts.schemas import GOLDEN, INJECTIONS, RANGES, TRAINING, VULNERABILITY
from tgr_cli.metrics.summary import FaultColumns, vulnerability_row
from tgr_cli.steps import report

CLASSES = "0" * 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("models", 14), ("sites", 100), ("faults", 4096), ("images", 5000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--keep", type=Path, help="write here, and use what is here already")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        names = [f"synthetic{number}-baseline" for number in range(given.models)]
        for number, name in enumerate(names):
            run = RunFolder(folder / "imagenet" / name)
            if not run.vulnerability.exists():
                _write(run, number, given.sites, given.faults, given.images)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        result = report.run(report.Config(runs=names, workdir=folder))
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"{given.models} models × {given.sites} sites × {given.faults} faults: {seconds:.1f} s")
        print(f"at most {peak / 2**20:.2f} GiB, {before / 2**20:.2f} before it")
        print(f"page {result.path.stat().st_size / 1e6:.2f} MB")


def _write(run: RunFolder, number: int, sites: int, faults: int, images: int) -> None:
    """Write a run of random rows; even runs share the names of their sites, odd runs have names of their own."""
    random = np.random.default_rng(number)
    prefix = "features" if number % 2 == 0 else f"stage{number}"
    facts = [
        {"site": f"{prefix}.{site}.conv", "op": "conv", "per_image": True, "neurons": 1000, "macs": 10**6}
        for site in range(sites)
    ]
    ids = np.array([f"val/{image:05}" for image in range(images)], dtype=object)
    label_N, top2diff_N = random.integers(0, 1000, images), random.random(images)
    model = f"{number:064}"
    extra = {"run": run.name, "params": 10**6, "macs": 10**8, "images": images, "used": "synthetic rows"}
    common = {"model": model, "classes": CLASSES, "extra": extra | {"last_sites": [facts[-1]["site"]]}}
    golden = {
        "image_id": ids, "label": np.zeros(images, int), "prediction": (random.random(images) < 0.2).astype(int),
        "loss": random.random(images), "top1": (1 + top2diff_N) / 2, "top2": (1 - top2diff_N) / 2,
        "top2diff": top2diff_N, "rank_of_label": label_N,
    }  # fmt: skip
    store.write(run.golden, GOLDEN, golden, store.provenance_for(GOLDEN, **common))
    rows = sites * faults
    image_N, hit_N = random.integers(0, images, rows), random.random(rows)
    outcome_N = np.select([hit_N < 0.01, hit_N < 0.4], ["sdc", "masked"], "benign")
    loss_N = random.random(rows) ** 8
    injections = {
        "fault": np.tile(np.arange(faults), sites), "site": np.repeat([fact["site"] for fact in facts], faults),
        "index": pa.ListArray.from_arrays(np.arange(rows + 1, dtype=np.int32), random.integers(0, 1000, rows)),
        "bit": random.integers(0, 32, rows), "image_id": ids[image_N], "label": np.zeros(rows, int),
        "value_before": loss_N, "value_flipped": loss_N, "value_after": loss_N, "weight": random.random(rows) * 2,
        "image_weight": np.ones(rows), "image_excess": np.zeros(rows),
        "golden_label": np.zeros(rows, int), "faulty_label": (hit_N < 0.01).astype(int), "golden_loss": loss_N,
        "faulty_loss": loss_N, "dloss": loss_N, "golden_top2diff": top2diff_N[image_N],
        "golden_top1": (1 + top2diff_N[image_N]) / 2, "faulty_top1": random.random(rows),
        "faulty_top2diff": random.random(rows), "outcome": outcome_N,
    }  # fmt: skip
    campaign = {"limit": "clamp", "label": "true", "sampling": "importance", "target": "neuron", "confidence": 0.99}
    common |= {"config": campaign, "seed": 0}
    store.write(run.injections, INJECTIONS, injections, store.provenance_for(INJECTIONS, **common))
    struck = FaultColumns.read(store.read(run.injections, INJECTIONS).table)
    table = pa.Table.from_pylist([vulnerability_row(f, struck.at(f["site"])) for f in facts], VULNERABILITY.arrow)
    made_from = {"injections": sha256_file(run.injections)}
    store.write(
        run.vulnerability, VULNERABILITY, table, store.provenance_for(VULNERABILITY, **common, inputs=made_from)
    )
    ranges = {name: random.random(sites) for name in RANGES.arrow.names} | {"site": [fact["site"] for fact in facts]}
    store.write(run.ranges, RANGES, ranges, store.provenance_for(RANGES, **common))
    training = {name: random.random(90) for name in TRAINING.arrow.names} | {"epoch": np.arange(1, 91)}
    store.write(run.training, TRAINING, training, store.provenance_for(TRAINING, **common))


if __name__ == "__main__":
    main()
