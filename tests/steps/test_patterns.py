"""`--pattern`, `--pattern-file` and `--lasting` through the command line: plans, rows, replay, resumption, refusals."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toys_artifacts import invoke, toy_options

from tgr_cli.artifacts import store
from tgr_cli.artifacts.parts import Parts
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.errors import TgrError

RUN = Path("runs/toy/toys-build_toy-baseline")
INJECTED = RUN / "injections.parquet"
FEW = ("--injections", 20)
FILE = """
[[conv]]
pattern = "channel"
probability = 0.4
[[conv]]
pattern = "several:count=3"
probability = 0.3
[[conv]]
offsets = [[0, 0, 1], [1, 0, 0]]
probability = 0.3
[[linear]]
pattern = "row"
probability = 1.0
"""


class Killed(BaseException):
    """Simulates a killed process: no error handler catches it."""


@pytest.fixture
def toy(tmp_path: Path) -> list[str]:
    """Return the options of a campaign on the toys."""
    (tmp_path / "array.toml").write_text(FILE)
    return ["--model", "toys:build_toy", *toy_options(tmp_path / "toy")]


def inject(toy: list[str], *more: object) -> dict[str, Any]:
    return json.loads(invoke("inject", *toy, "--quiet", "--json", *more).stdout)


def rows() -> list[dict[str, Any]]:
    return pq.read_table(INJECTED).to_pylist()


@pytest.mark.parametrize("pattern", ["row", "channel", "block:height=2,width=3", "several:count=3"])
def test_campaigns_agree_with_full_and_their_rows_can_be_replayed(toy: list[str], pattern: str) -> None:
    told = inject(toy, *FEW, "--pattern", pattern, "--verify", 60)
    assert (told["faults"], told["verified"]) == (60, 60)
    artifact = store.read(INJECTED, INJECTIONS)
    assert artifact.provenance.config["pattern"] == artifact.provenance.extra["pattern"] == pattern
    for row in (3, 45):
        assert json.loads(invoke("inject", *toy, "--replay", row, "--json").stdout)["agrees"]
    numbers = {row["footprint"] for row in rows()}
    assert len(numbers) == 60 if pattern.startswith("several") else numbers == {0}


def test_a_pattern_leaves_the_drawn_faults_as_they_are(toy: list[str]) -> None:
    names = ("site", "index", "choice", "image_id", "weight", "value_before", "value_after")
    inject(toy, *FEW)
    alone = [tuple(row[name] for name in names) for row in rows()]
    outcomes = [row["dloss"] for row in rows()]
    inject(toy, *FEW, "--pattern", "channel", "--restart")
    assert [tuple(row[name] for name in names) for row in rows()] == alone
    assert [row["dloss"] for row in rows()] != outcomes


@pytest.mark.parametrize("sampling", ["importance", "uniform"])
def test_patterns_of_a_file_are_drawn_stored_and_replayed(toy: list[str], sampling: str) -> None:
    given = ("--pattern-file", "array.toml")
    inject(toy, *FEW, *given, "--sampling", sampling, "--verify", 60)
    first = rows()
    assert len({row["footprint"] for row in first if row["site"] == "conv1"}) > 3
    assert {row["footprint"] for row in first if row["site"] == "fc"} == {0}
    number = next(n for n, row in enumerate(first) if 0 < row["footprint"] <= 2**32)  # one of several
    again = json.loads(invoke("inject", *toy, "--replay", number, *given, "--json").stdout)
    assert again["agrees"]
    assert again["again"]["footprint"] == first[number]["footprint"]
    with pytest.raises(
        TgrError, match=r"was run with --pattern patterns of conv 0\.4 channel, .*; give the same, or the"
    ):
        invoke("inject", *toy, "--replay", number)
    inject(toy, "--faults", INJECTED, *given, "--out", "again.parquet")
    listed = pq.read_table("again.parquet").to_pylist()
    assert [row["footprint"] for row in listed] == [row["footprint"] for row in first]
    assert [row["outcome"] for row in listed] == [row["outcome"] for row in first]
    with pytest.raises(TgrError, match=r"holds faults of the pattern patterns of conv .*, not element; give that with"):
        invoke("inject", *toy, "--faults", INJECTED, "--out", "again.parquet")


def test_a_killed_campaign_goes_on_with_its_patterns(toy: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("inject", *toy, *FEW, "--pattern-file", "array.toml")
    invoke(*options)
    whole, written = INJECTED.read_bytes(), []

    def failing(self: Parts, stage: str, unit: int, table: pa.Table) -> None:
        if written:
            raise Killed
        written.append(unit)
        write(self, stage, unit, table)

    write = Parts.write
    INJECTED.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(Parts, "write", failing)
        with pytest.raises(Killed):
            invoke(*options)
    Path("other.toml").write_text(FILE.replace("channel", "column"))
    with pytest.raises(TgrError, match=r"keeps a campaign that was begun with .*pattern patterns of conv 0\.4 channel"):
        invoke("inject", *toy, *FEW, "--pattern-file", "other.toml")
    Path("array.toml").rename("renamed.toml")  # the content counts
    invoke("inject", *toy, *FEW, "--pattern-file", "renamed.toml")
    assert INJECTED.read_bytes() == whole


def test_weights_are_struck_in_patterns(toy: list[str]) -> None:
    weights = ("--target", "weight", "--images-per-fault", 2, "--pattern", "channel")
    assert inject(toy, *FEW, *weights, "--verify", 60)["verified"] == 60
    Path("array.toml").write_text('[[weight]]\npattern = "row"\nprobability = 1.0\n')
    weights = ("--target", "weight", "--images-per-fault", 2, "--pattern-file", "array.toml")
    assert inject(toy, *FEW, *weights, "--restart", "--verify", 60)["verified"] == 60


@pytest.mark.parametrize("sampling", ["uniform", "stratified"])
def test_lasting_faults_are_tried_on_several_images(toy: list[str], sampling: str) -> None:
    drawn = ("--sampling", sampling, *(() if sampling == "uniform" else ("--pilot", 64)))
    lasting = ("--lasting", "--images-per-fault", 3, "--fault-model", "stuck:at=1", "--pattern", "several:count=2")
    told = inject(toy, *drawn, "--injections", 64, *lasting, "--verify", 60)
    assert (told["faults"], told["rows"], told["verified"]) == (3 * 64, 3 * 64 * 3, 60)
    found = rows()
    for number in range(0, len(found), 3):
        tried = found[number : number + 3]
        for name in ("fault", "site", "index", "choice", "footprint"):
            assert len({str(row[name]) for row in tried}) == 1, name
        assert len({row["image_id"] for row in tried}) == 3
    words = np.array([row["value_flipped"] for row in found], np.float32).view(np.uint32)
    assert all(word >> row["bit"] & 1 for word, row in zip(words.tolist(), found, strict=True))
    assert store.read(INJECTED, INJECTIONS).provenance.config["lasting"] is True
    assert json.loads(invoke("inject", *toy, "--replay", 5, "--json").stdout)["agrees"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--pattern", "diagonal"),
            '--pattern is "diagonal"; use one of element, row,',
        ),
        (("--pattern", "row", "--engine", "pytorchfi"), "the engine pytorchfi strikes single elements"),
        (("--pattern", "row", "--pattern-file", "array.toml"), "both say which elements a fault strikes"),
        (("--pattern", "row", "--exhaustive", "last"), "--exhaustive strikes each element alone"),
        (("--pattern-file", "none.toml"), "none.toml does not exist"),
        (("--pattern-file", "array.toml", "--target", "weight"), "array.toml has no patterns for weight, where the"),
        (("--lasting",), "--sampling importance weighs a fault in a neuron by what it does to one image"),
        (("--lasting", "--target", "weight"), "--lasting does nothing where tensors are struck"),
        (("--images-per-fault", 3), "--images-per-fault does nothing where neurons are struck"),
    ],
)
def test_what_does_not_go_together_is_refused(toy: list[str], options: tuple[str, ...], words: str) -> None:
    with pytest.raises(TgrError) as told:
        invoke("inject", *toy, *options)
    assert words in str(told.value)
    assert not INJECTED.exists()


@pytest.mark.parametrize("lasting", [True, False])
def test_faults_of_a_file_last_as_they_did(toy: list[str], lasting: bool) -> None:
    lasts, theirs = ["--lasting"], ["--sampling", "uniform", "--injections", 4]
    theirs += [*lasts, "--images-per-fault", 2] if lasting else []
    inject(toy, *theirs, "--out", "theirs.parquet")
    words = (
        "faults that last, .*; give --lasting"
        if lasting
        else "faults that strike one inference each; leave --lasting and --target out"
    )
    with pytest.raises(TgrError, match=words):
        inject(toy, "--faults", "theirs.parquet", *([] if lasting else lasts), "--out", "ours.parquet")
    inject(toy, "--faults", "theirs.parquet", *(lasts if lasting else []), "--out", "ours.parquet")
