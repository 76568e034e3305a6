"""Two-stage campaigns: a pilot allocates the faults, and counts in no figure."""

from pathlib import Path

import numpy as np
import pytest
from toys import write_toy_dataset
from toys_artifacts import invoke

from tgr_cli.artifacts import store
from tgr_cli.artifacts.parts import Parts
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.artifacts.store import Artifact
from tgr_cli.errors import TgrError

RUN = Path("runs/toy/toys-build_toy-baseline")
MODEL = "--model toys:build_toy --dataset parquet:toy --crop 8 --mean 0.5 --std 0.5 --weights none --label golden"
KEYS = ("fault", "site", "index", "bit", "image_id")


def run(*options: object) -> tuple[Artifact, set[tuple[object, ...]], str]:
    """Return the artifact of a campaign, the pilot's faults, and the notes."""
    pilot: set[tuple[object, ...]] = set()
    write = Parts.write

    def watched(self: Parts, stage: str, unit: int, table: object) -> None:
        if stage == "pilot":
            pilot.update(zip(*(map(str, table[name].to_pylist()) for name in KEYS), strict=True))
        write(self, stage, unit, table)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parts, "write", watched)
        told = invoke("inject", *MODEL.split(), *options).stderr
    return store.read(RUN / "injections.parquet", INJECTIONS), pilot, told


def keys(artifact: Artifact) -> set[tuple[object, ...]]:
    return set(zip(*(map(str, artifact.table[name].to_pylist()) for name in KEYS), strict=True))


@pytest.fixture(autouse=True)
def _toy() -> None:
    write_toy_dataset(Path("toy"))


def test_stratified_sampling_draws_anew_after_its_pilot() -> None:
    artifact, pilot, _ = run("--sampling", "stratified", "--pilot", 640, "--injections", 3000)
    assert len(pilot) == 3 * 640
    assert artifact.table.num_rows == 3 * 3000
    assert len(keys(artifact) & pilot) < 200  # equal by chance only
    assert artifact.provenance.extra["pilot"] == 1920
    assert artifact.provenance.config["pilot"] == 640
    bits = artifact.column("bit")
    assert np.bincount(bits, minlength=32).min() >= 3 * 64
    # The highest exponent bit has the largest effect, the lowest mantissa bit none.
    assert (bits == 30).sum() > 1.5 * (bits == 0).sum()
    np.testing.assert_allclose(artifact.column("weight").mean(), 1)


@pytest.mark.parametrize("sampling", ["importance", "uniform"])
def test_a_target_sets_how_many_faults_are_drawn(sampling: str) -> None:
    loose, pilot, told = run("--sampling", sampling, "--target-ci", "sdc=0.1", "--pilot", 100)
    assert len(pilot) == 300
    assert f"after a pilot of 300 faults, {loose.table.num_rows:,} are drawn, " in told
    assert "max_injections" in loose.provenance.config
    assert "injections" not in loose.provenance.config
    close, _, told = run("--sampling", sampling, "--target-ci", "sdc=0.001", "--pilot", 100, "--max-injections", 500)
    assert loose.table.num_rows < close.table.num_rows <= 1500
    assert (
        "--target-ci sdc=0.001 is out of reach on 30 images with at most 500 faults a site: raise --images or" in told
    )


@pytest.mark.parametrize("numbers", [("--injections", 63), ("--target-ci", "sdc=0.1", "--max-injections", 63)])
def test_too_few_faults_for_every_bit_are_refused_before_the_pilot_is_run(numbers: tuple[object, ...]) -> None:
    few = "63 faults a site are too few for --sampling stratified, which needs 2 in each of 32 bits; use at least 64"
    with pytest.raises(TgrError, match=few):
        invoke("inject", *MODEL.split(), "--sampling", "stratified", *numbers)
    assert not list(RUN.glob("**/*pilot*"))


def test_a_pilot_with_too_few_faults_for_every_bit_is_refused() -> None:
    with pytest.raises(TgrError, match=r"--pilot is 63, too few for --sampling stratified.*use at least 64"):
        invoke("inject", *MODEL.split(), "--sampling", "stratified", "--pilot", 63, "--injections", 64)


def test_a_plan_is_drawn_whole_and_not_verified() -> None:
    for option in (("--shard", "1/2"), ("--verify", 3)):
        with pytest.raises(
            TgrError, match="--plan-only draws the whole plan and runs nothing of it; leave out --shard"
        ):
            invoke("inject", *MODEL.split(), "--plan-only", *option)
