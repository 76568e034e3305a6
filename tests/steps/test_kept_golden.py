"""Campaigns reuse what `tgr evaluate` found of the images, as long as it still holds."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from toys import ToyNet, write_toy_dataset
from toys_artifacts import invoke

from tgr_cli.campaign import kept_golden, labelled

GOLDEN = Path("runs/toy/toys-build_toy-baseline/golden.parquet")
REUSED = f"the images' golden results are those of {GOLDEN}, by tgr evaluate"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the options that select the toy network and its 30 images, of which 3 are tried."""
    monkeypatch.setattr(kept_golden, "TRIED", 3)
    write_toy_dataset(tmp_path / "toy")
    grey = ["--crop", "8", "--mean", "0.5", "--std", "0.5"]
    return ["--model", "toys:build_toy", "--dataset", "parquet:toy", "--weights", "none", *grey]


def plan(toy: list[str], *more: object) -> tuple[bytes, str]:
    """Return the bytes of a plan, for which the class and the doubt of each image count, and what was said."""
    drawn = ("--label", "golden", "--injections", 6, "--plan-only", "--out", "plan.parquet")
    told = invoke("inject", *toy, *drawn, *more).stderr
    return Path("plan.parquet").read_bytes(), " ".join(told.split())


@pytest.fixture
def classified(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the number of images of every pool that is classified."""
    sizes: list[int] = []
    classify = labelled.Subject.classify

    def counted(subject: labelled.Subject, *seen: object) -> object:
        sizes.append(len(subject.images))
        return classify(subject, *seen)

    monkeypatch.setattr(labelled.Subject, "classify", counted)
    return sizes


def test_the_plan_is_the_same_and_only_some_images_are_classified_again(toy: list[str], classified: list[int]) -> None:
    before, told = plan(toy)
    assert REUSED not in told
    invoke("evaluate", *toy)
    classified.clear()
    after, told = plan(toy)
    assert after == before
    assert REUSED in told
    assert classified == [3]
    _, told = plan(toy, "--images", 10)
    assert REUSED not in told
    assert classified == [3, 10]


def test_results_of_other_pixels_are_not_reused(toy: list[str], classified: list[int]) -> None:
    invoke("evaluate", *toy)
    images = Path("toy/test.parquet")
    table = pq.read_table(images)
    pixels = table["image"].to_pylist()
    pixels[1] = pixels[2]  # which is not among those that are classified again
    column = table.column_names.index("image")
    pq.write_table(table.set_column(column, table.field("image"), pa.array(pixels, table.field("image").type)), images)
    classified.clear()
    found, told = plan(toy)
    assert REUSED not in told
    assert classified == [30]
    GOLDEN.unlink()
    assert plan(toy)[0] == found


def test_results_of_other_code_are_not_reused(
    toy: list[str], classified: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke("evaluate", *toy)
    forward = ToyNet.forward

    def turned(net: ToyNet, x: torch.Tensor) -> torch.Tensor:
        return -forward(net, x)

    monkeypatch.setattr(ToyNet, "forward", turned)
    classified.clear()
    found, told = plan(toy)
    assert f"{GOLDEN} does not hold what the model gives for the image toy/0.png" in told
    assert classified == [3, 30]
    GOLDEN.unlink()
    assert plan(toy)[0] == found


@pytest.mark.parametrize("change", ["preprocessing", "damage"])
def test_results_of_other_images_or_damaged_ones_are_not_reused(
    toy: list[str], classified: list[int], change: str
) -> None:
    invoke("evaluate", *toy)
    if change == "damage":
        GOLDEN.write_bytes(GOLDEN.read_bytes()[:-40])
    classified.clear()
    _, told = plan(toy, *(("--std", "0.25") if change == "preprocessing" else ()))
    assert REUSED not in told
    assert ("the images are classified again" in told) is (change == "damage")
    assert classified == [30]
