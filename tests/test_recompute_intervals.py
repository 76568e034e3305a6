"""docs/faults.md suffices to work an interval out: its formulas, in numpy and scipy alone, give what tgr writes."""

import ast
import json
import math
from pathlib import Path
from runpy import run_path

import numpy as np
import pyarrow.parquet as pq
import pytest
from toys import write_toy_dataset
from toys_artifacts import invoke

from tgr_cli.metrics.improvement import figures, improvement
from tgr_cli.metrics.summary import FaultColumns, network

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "recompute_intervals.py"
OURS = run_path(str(SCRIPT))
RUN = Path("runs/toy/toys-build_toy-baseline")
TOY = (
    "--model toys:build_toy --dataset parquet:toy --crop 8 --mean 0.5 --std 0.5 --weights none --label golden "
    "--batch-size 8 --confidence 0.95"
)


def test_the_script_needs_nothing_of_tgr() -> None:
    tree = ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8")))
    named = [node.module for node in tree if isinstance(node, ast.ImportFrom)]
    assert not [name for name in named if str(name).startswith("tgr_cli")]
    assert "tgr_cli" not in OURS


@pytest.mark.parametrize(
    ("options", "stem"),
    [
        ("--sampling uniform --injections 150", "injections"),
        ("--sampling importance --injections 150", "injections"),
        ("--sampling stratified --injections 200 --pilot 64", "injections"),
        ("--target weight --injections 40 --images-per-fault 4", "injections-weight"),
    ],
)
def test_the_written_intervals_follow_from_the_rows(options: str, stem: str) -> None:
    write_toy_dataset(Path("toy"))
    told = json.loads(invoke("inject", *TOY.split(), *options.split(), "--json", "--quiet").stdout)
    rows, settings = OURS["read"](RUN / f"{stem}.parquet")
    sites = pq.read_table(told["vulnerability"]).to_pylist()
    assert len(sites) >= 3
    for row in sites:
        for name in ("sdc_rate", "mean_dloss"):
            found = OURS[name](rows, {row["site"]: 1.0}, settings["confidence"])
            assert row["reliable" if name == "mean_dloss" else "sdc_rate_reliable"] == (found.effective >= 30)
            assert found[:3] == pytest.approx([row[name], row[f"{name}_low"], row[f"{name}_high"]], rel=1e-9)
    alike = {row["site"]: 1 / len(sites) for row in sites}
    by_macs = {row["site"]: row["macs"] for row in sites}
    for name, figure, coefficient in (
        ("sdc_rate", "sdc_rate", alike),
        ("mean_dloss", "mean_dloss", alike),
        ("mean_dloss", "v_cnn", by_macs),
    ):
        found = OURS[name](rows, coefficient, settings["confidence"])
        stored = told["network"][figure]
        assert found == pytest.approx([stored[part] for part in ("mean", "low", "high", "effective")], rel=1e-9)


def drawn(seed: int, images: int, hits: str = "some", count: int = 90) -> tuple[FaultColumns, object]:
    """Return random rows as tgr's own code takes them, and as the script does."""
    random = np.random.default_rng(seed)
    sdc = {"none": np.zeros(count), "all": np.ones(count), "some": random.random(count) < 0.1}[hits].astype(bool)
    gone = ~sdc & (random.random(count) < 0.1)
    columns = {
        "site": np.repeat(np.array(["a", "b", "c"], object), count // 3),
        "weight": random.uniform(0.2, 4.0, count),
        "image_excess": random.uniform(-0.01, 0.03, count),
        "cluster": np.array([f"image {number}" for number in random.integers(images, size=count)], object),
        "stratum": random.integers(3, size=count),
    }
    dloss = random.exponential(size=count) ** 4
    outcome = np.select([gone, sdc], np.array(["non_finite", "sdc"], object), "benign")
    theirs = FaultColumns(image_id=columns["cluster"], outcome=outcome, dloss=np.where(gone, np.nan, dloss), **columns)
    rows = OURS["Rows"](sdc=sdc.astype(float), non_finite=gone.astype(float), dloss=np.where(gone, 0, dloss), **columns)
    return theirs, rows


FACTS = [{"site": name, "neurons": 1, "macs": 1, "per_image": True} for name in "abc"]


@pytest.mark.parametrize("hits", ["none", "all", "some"])
@pytest.mark.parametrize("images", [1, 2, 40])
def test_the_ends_of_the_scale_and_single_images_are_told_by_the_page_too(hits: str, images: int) -> None:
    theirs, rows = drawn(images, images, hits)
    written = network(FACTS, theirs, 0.9)
    for name in ("sdc_rate", "mean_dloss"):
        found = OURS[name](rows, dict.fromkeys("abc", 1 / 3), 0.9)
        assert found == pytest.approx(getattr(written, name), rel=1e-9, nan_ok=True)
        assert math.isnan(found.low) == (images == 1 and name == "mean_dloss")


@pytest.mark.parametrize("images", [2, 40])
def test_an_improvement_factor_follows_from_the_rows_of_both_runs(images: int) -> None:
    (baseline, ours), (candidate, others) = drawn(5, images), drawn(6, images + 1)  # most images are struck in both
    written = improvement(figures(FACTS, baseline, []), figures(FACTS, candidate, []), 0.95)["overall"]
    assert OURS["improvement"](ours, others, 0.95) == pytest.approx(written, rel=1e-9)
