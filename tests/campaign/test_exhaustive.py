"""`tgr inject --exhaustive last`: all faults of the last site in an artifact, and their exact rates."""

import json
from pathlib import Path

import numpy as np
import pytest
from toys import write_toy_dataset
from toys_artifacts import formats_of, invoke

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import EXHAUSTIVE
from tgr_cli.errors import TgrError

RUN = Path("runs/toy/toys-build_toy-baseline")
MODEL = "--model toys:build_toy --dataset parquet:toy --crop 8 --mean 0.5 --std 0.5 --weights none --label golden -q"


def test_the_exact_figures_are_those_that_a_campaign_estimates(tmp_path: Path) -> None:
    write_toy_dataset(tmp_path / "toy")
    exact = json.loads(invoke("inject", *MODEL.split(), "--exhaustive", "last", "--json").stdout)
    artifact = store.read(RUN / "exhaustive.parquet", EXHAUSTIVE)
    assert exact["faults"] == artifact.table.num_rows == 30 * 3 * 32
    keys = set(zip(*(artifact.table[name].to_pylist() for name in ("image_id", "class_index", "bit")), strict=True))
    assert len(keys) == exact["faults"]
    assert exact["counts"]["sdc"] == (artifact.column("outcome") == "sdc").sum()
    np.testing.assert_allclose(exact["mean_dloss"], np.nanmean(artifact.column("dloss")))
    assert "sampling" not in artifact.provenance.config
    assert formats_of(artifact.path) == "float32"

    told = json.loads(invoke("inject", *MODEL.split(), "--injections", 2000, "--json").stdout)
    row = told["sites"][-1]
    assert row["site"] == exact["site"] == "fc"
    assert row["sdc_rate_low"] <= exact["sdc_rate"] <= row["sdc_rate_high"]
    assert row["mean_dloss_low"] <= exact["mean_dloss"] <= row["mean_dloss_high"]

    shown = invoke("inject", *MODEL.split(), "--exhaustive", "last").stdout
    assert shown.startswith("toys-build_toy-baseline, fc: 2,880 faults, all on 30 images: 0 non_finite, ")
    with pytest.raises(TgrError, match=r'--exhaustive is "first"; only "last", the last site'):
        invoke("inject", *MODEL.split(), "--exhaustive", "first")
    with pytest.raises(
        TgrError, match=r"--exhaustive runs every fault of the last site; leave out --faults, .* --shard"
    ):
        invoke("inject", *MODEL.split(), "--exhaustive", "last", "--shard", "1/2")
