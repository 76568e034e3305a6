"""A campaign over feature maps to protect a network by, and what its rows say, counted by loops over them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from toys_artifacts import invoke, site, write_golden, write_injections

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.campaign import feature_maps, results
from tgr_cli.protection.split import analysis

NET, LIGHT = Path("runs/digits/net-baseline"), Path("runs/digits/light-baseline")
# 3 maps of 100 multiply-accumulates, 2 of 300, and a last layer of 100.
SITES = [
    site("conv1", "conv", neurons=12, macs=300),
    site("conv2", "conv", neurons=4, macs=600),
    site("fc", neurons=10, macs=100),
]
MAPS = {"conv1": {"axis": 0, "count": 3}, "conv2": {"axis": 1, "count": 2}}
COEFFICIENTS = {"neurons": {"conv1": 12 / 16, "conv2": 4 / 16}, "macs": {"conv1": 300 / 900, "conv2": 600 / 900}}
IMAGES = "abcdefghijklmnopqrst"
WRONG = "t"  # is in no coverage, and is run again like the others
TOP2DIFF = {name: (place + 0.5) / 20 for place, name in enumerate(IMAGES)}
FAULTS = 60


def measured(
    seed: int = 1, *, maps: bool = True, sdcs: float = 0.3, value_before: bool = False, last: bool = True, **facts: Any
) -> None:
    """Write a golden run of 20 images, and a campaign of 60 faults at each of three sites."""
    drawn = np.random.default_rng(seed)
    write_golden(NET / "golden.parquet", TOP2DIFF, WRONG, run="net-baseline", model="net")
    sites = SITES if last else SITES[:2]
    images = ["".join(drawn.choice(list(IMAGES[:-1]), FAULTS)) for _ in sites]
    outcomes = ["".join(np.where(drawn.random(FAULTS) < sdcs, "s", "b")) for _ in sites]
    dloss = [np.round(drawn.exponential(1.0, FAULTS), 3).tolist() for _ in sites]
    number = len(sites) * FAULTS
    write_injections(
        NET / "injections.parquet",
        list(zip(sites, outcomes, images, dloss, strict=True)),
        model="net",
        top2diff=drawn.random(number).round(3).tolist(),
        top1=drawn.random(number).round(3).tolist(),
        weights=drawn.uniform(0.5, 2.0, number).tolist(),
        faulty_label=[1] * number,
        value_before=drawn.normal(size=number).round(3).tolist() if value_before else None,
        extra=({"feature_maps": MAPS} if maps else {}) | facts,
    )


def write_feature_maps() -> None:
    """Write the `feature_maps` beside the campaign, as `tgr inject` does."""
    campaign = store.read(NET / "injections.parquet", INJECTIONS)
    made = {name: getattr(campaign.provenance, name) for name in ("model", "classes", "config", "extra")}
    struck = results.read(campaign.table, campaign.provenance.config)
    feature_maps.write(NET / "injections.parquet", campaign.table, struck, SITES[:2], made)


def protect(*arguments: object, exit_code: int = 0) -> dict[str, Any]:
    done = invoke("protect", "net-baseline", "--dataset", "digits", "--json", *arguments)
    assert done.exit_code == exit_code, done.output
    return json.loads(done.stdout)


def faults() -> list[dict[str, Any]]:
    rows = store.read(NET / "injections.parquet", INJECTIONS).table.to_pylist()
    for row in rows:
        count = MAPS.get(row["site"], {}).get("count")
        row["map"] = None if count is None else (row["site"], row["fault"] % count)
    return rows


def parts(share: float = 0.8, seed: int = 0) -> dict[str, set[str]]:
    chosen = analysis(list(IMAGES), share, seed)
    return {
        "analysis": {name for name, is_in in zip(IMAGES, chosen, strict=True) if is_in},
        "deployment": {name for name, is_in in zip(IMAGES, chosen, strict=True) if not is_in},
    }


def coverage(rows: list[dict], images: set[str], count_by: str, caught: Callable[[dict], bool]) -> float:
    """Return the caught share of the SDCs on these images, of conv1 and conv2 as their coefficients count them."""
    sums = {True: 0.0, False: 0.0}
    for row in rows:
        if row["outcome"] == "sdc" and row["image_id"] in images and row["site"] != "fc":
            sums[bool(caught(row))] += COEFFICIENTS[count_by][row["site"]] * row["weight"]
    return sums[True] / (sums[True] + sums[False])


def vulnerable_first(effect: Callable[[dict], float], images: set[str]) -> list[tuple[str, int]]:
    found = vulnerabilities(effect, images)
    return sorted(found, key=lambda name: -found[name])


def vulnerabilities(effect: Callable[[dict], float], images: set[str]) -> dict[tuple[str, int], float]:
    """Return each map's share of the work times the mean effect of its faults on these images, up to a factor."""
    found = {(name, place): 0.0 for name, facts in MAPS.items() for place in range(facts["count"])}
    for row in faults():
        if row["map"] and row["image_id"] in images:
            found[row["map"]] += COEFFICIENTS["macs"][row["site"]] * row["weight"] * effect(row)
    return found


def work(maps: Any) -> float:
    return sum({"conv1": 100, "conv2": 300}[name] for name, _ in maps) / 1000


def chosen_maps(found: dict[str, list[int]]) -> set[tuple[str, int]]:
    return {(name, channel) for name, channels in found.items() for channel in channels}
