"""A campaign of other faults at the default place is not replaced, and an interrupted surface goes on."""

import json
import re
from pathlib import Path

import pytest
from toys import write_toy_dataset
from toys_artifacts import invoke

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import SURFACE
from tgr_cli.errors import TgrError
from tgr_cli.faults.surface import Surface

RUN = Path("runs/toy/toys-build_toy-baseline")
FEW = ("--injections", "6", "--images", "8")
KINDS = ("--surface", "int8", "--surface", "bf16/random")


@pytest.fixture
def toy(tmp_path: Path) -> list[str]:
    """Return the options of a campaign on the toys."""
    folder = write_toy_dataset(tmp_path / "toy")
    grey = ["--crop", "8", "--mean", "0.5", "--std", "0.5", "--weights", "none", "--label", "golden"]
    return ["--model", "toys:build_toy", "--dataset", f"parquet:{folder}", *grey]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--encode", "int8"], "with --encode not given, and this one has --encode int8; write this one to"),
        (["--fault-model", "burst"], "with --fault-model flip, and this one has --fault-model burst:length=2"),
        (["--pattern", "row"], "with --pattern element, and this one has --pattern row"),
        (["--limit", "none"], "with --limit clamp, and this one has --limit none"),
        (["--all-images"], "with --all-images not given, and this one has --all-images given; write this one to"),
    ],
)
def test_a_campaign_of_other_faults_is_not_replaced(options: list[str], words: str, toy: list[str]) -> None:
    invoke("inject", *toy, *FEW)
    before = {path: path.read_bytes() for path in RUN.glob("*.parquet")}
    with pytest.raises(TgrError, match=re.escape(f"injections.parquet holds a campaign {words}")):
        invoke("inject", *toy, *FEW, *options)
    assert {path: path.read_bytes() for path in RUN.glob("*.parquet")} == before
    assert not list(RUN.glob("*.parts"))


def test_it_is_replaced_where_that_is_asked_for_or_the_faults_are_the_same(toy: list[str]) -> None:
    invoke("inject", *toy, *FEW)
    invoke("inject", *toy, *FEW, "--seed", "3", "--sampling", "uniform", "--pattern", "ELEMENT")
    invoke("inject", *toy, *FEW, "--encode", "int8", "--out", "int8.parquet")
    (RUN / "list.parquet").write_bytes((RUN / "injections.parquet").read_bytes())
    with pytest.raises(TgrError, match="of faults that were drawn, and this one has those that --faults lists"):
        invoke("inject", *toy, "--faults", str(RUN / "list.parquet"))
    invoke("inject", *toy, *FEW, "--encode", "int8", "--restart")
    with pytest.raises(TgrError, match="with --encode int8, and this one has --encode not given"):
        invoke("inject", *toy, *FEW)


def test_plans_and_exhaustive_campaigns_are_kept_too(toy: list[str]) -> None:
    for mode in (["--plan-only", "--injections", "6"], ["--exhaustive", "last", "--images", "4"]):
        invoke("inject", *toy, *mode)
        with pytest.raises(TgrError, match=r"with --fault-model flip, and this one has --fault-model stuck:at=1"):
            invoke("inject", *toy, *mode, "--fault-model", "stuck:at=1")
        invoke("inject", *toy, *mode, "--fault-model", "stuck:at=1", "--restart")


def test_a_surface_keeps_its_kinds_and_says_what_it_is_of(toy: list[str]) -> None:
    toy = [*toy, "--targets", "conv"]
    invoke("inject", *toy, *FEW, *KINDS)
    with pytest.raises(TgrError, match="with --surface bfloat16/random, and this one has only int8/flip; write"):
        invoke("inject", *toy, *FEW, "--surface", "int8")
    invoke("inject", *toy, *FEW, *KINDS, "--surface", "fp16")  # nothing is lost
    extra = store.read(RUN / "surface.parquet", SURFACE).provenance.extra
    assert extra["kinds"] == {
        "int8/flip": {"limit": "format"},
        "bfloat16/random": {"limit": "clamp"},
        "float16/flip": {"limit": "clamp"},
    }
    assert [site["site"] for site in extra["sites"]] == ["conv1", "conv2"]
    assert extra["macs"] == sum(site["macs"] for site in extra["sites"]) > 0
    assert extra["unseen_work"]["of"] > extra["macs"]


def test_a_killed_surface_goes_on_to_the_same_bytes(toy: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("inject", *toy, *FEW, "--batch-size", "4", "--memory", "8MiB", *KINDS)
    invoke(*options, "--out", "whole.parquet")
    own, calls = Surface.effects, []

    def interrupted(self: Surface, anchors: object) -> object:
        calls.append(anchors)
        if len(calls) == 3:
            raise RuntimeError("killed")
        return own(self, anchors)  # type: ignore[arg-type]

    monkeypatch.setattr(Surface, "effects", interrupted)
    with pytest.raises(RuntimeError, match="killed"):
        invoke(*options)
    assert not (RUN / "surface.parquet").exists()
    with pytest.raises(TgrError, match=r"surface.parts keeps a campaign that was begun with .*surface int8/flip, bf"):
        invoke(*options, "--surface", "fp16")
    said = invoke(*options, "--json")
    assert "neurons were struck before and are kept" in " ".join(said.stderr.split())
    whole = store.read(Path("whole.parquet"), SURFACE)
    assert store.read(RUN / "surface.parquet", SURFACE).table.equals(whole.table)
    assert json.loads(said.stdout)["rows"] == whole.table.to_pylist()
    assert not list(RUN.glob("*.parts"))
