"""Runs with every artifact that a report shows."""

import json
from pathlib import Path

from report_pages import Page
from toys_artifacts import site, write_golden, write_injections

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import RANGES, TRAINING
from tgr_cli.steps.report import Config, run

FOLDER = Path("runs/digits")
BASELINE, TEXT = "net-baseline", "net-text-descriptions"
IMAGES = {"a": 0.5, "b": 0.6, "c": 0.1, "d": 0.2, "e": 0.9}


def make(name: str, *, model: str, wrong: str = "", head: str = "fc", shift: float = 0.0, limit: str = "clamp") -> None:
    """Write every artifact of a run: two sites, eight faults each, on the correctly classified images."""
    folder, prefix = FOLDER / name, "backbone." if head == "head" else ""
    top2diff = {image: min(value + shift, 1.0) for image, value in IMAGES.items()}
    write_golden(folder / "golden.parquet", top2diff, wrong, run=name, model=model)
    right = [image for image in IMAGES if image not in wrong]
    struck = "".join((right * 8)[:8])
    dloss = [0.1, 0.5, 2.0, 0.3, None, 0.0, 0.7, 0.4]
    sites = [site(f"{prefix}conv", "conv", neurons=400, macs=1000), site(head)]
    write_injections(
        folder / "injections.parquet",
        [(sites[0], "sbbmnbsb", struck, dloss), (sites[1], "ssbmnbbb", struck, dloss[::1])],
        model=model,
        limit=limit,
        golden_top2diff=[top2diff[image] for image in struck] * 2,
    )
    facts = {"model": model, "classes": store.describe(folder / "golden.parquet")[1].classes}
    ranges = {c: [1.5, 20.25] for c in RANGES.arrow.names} | {"site": [each["site"] for each in sites]}
    extra = {"images": 60, "used": "the train split of toys"}
    store.write(folder / "ranges.parquet", RANGES, ranges, store.provenance_for(RANGES, **facts, extra=extra))
    training = {c: [0.75, 0.5, 0.25] for c in TRAINING.arrow.names} | {"epoch": [1, 2, 3]}
    store.write(folder / "training.parquet", TRAINING, training, store.provenance_for(TRAINING, **facts))
    for what in ("golden", "injections"):
        record = {"command": f"tgr {what} --model {name}"}
        store.run_record(folder / f"{what}.parquet").write_text(json.dumps(record))


def both() -> Config:
    make(BASELINE, model="base", wrong="d")
    make(TEXT, model="text", wrong="a", head="head", shift=0.05)
    return Config(runs=[BASELINE, TEXT], dataset="digits")


def page(config: Config) -> Page:
    return Page(run(config).path.read_text(encoding="utf-8"))
