"""Campaigns in shards: merging gives the bytes of an uninterrupted run; stored plans run elsewhere."""

import json
import re
import shutil
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from toys import write_toy_dataset
from toys_artifacts import invoke

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS, PLAN, SHARD
from tgr_cli.campaign import profiling
from tgr_cli.errors import TgrError

RUN = Path("runs/toy/toys-build_toy-baseline")
UNIFORM = ("--sampling", "uniform")  # which is drawn faster


@pytest.fixture
def toy(tmp_path: Path) -> list[str]:
    write_toy_dataset(tmp_path / "toy")
    data = ["--dataset", "parquet:toy", "--crop", "8", "--mean", "0.5", "--std", "0.5"]
    # 384 MiB for the graph and 8 KiB for a forward pass; the golden values of 9 images fit into the other 20 KiB. So 30
    # images are 4 chunks, and three sites 12 units.
    return [
        "--model",
        "toys:build_toy",
        *data,
        "--label",
        "golden",
        "--batch-size",
        "4",
        "--memory",
        f"{384 * 1024 + 8 + 20}KiB",
        "--weights",
        "none",
        "-q",
    ]


def inject(toy: list[str], *more: object) -> str:
    return str(invoke("inject", *toy, "--injections", 60, "--seed", 3, *more).stdout)


def test_shards_merge_to_the_bytes_of_an_undisturbed_run(toy: list[str]) -> None:
    inject(toy)
    whole = {name: (RUN / f"{name}.parquet").read_bytes() for name in ("injections", "vulnerability")}
    paths = []
    for number in (1, 2, 3):
        told = inject(toy, "--shard", f"{number}/3")
        paths.append(RUN / f"injections-{number}-of-3.parquet")
        assert re.search(r"[4-7]\d of 180 faults, in [3-5] of 12 units", told)
    invoke("merge", RUN, "--out", "merged/x.parquet", "-q")  # the shards among the other artifacts
    assert Path("merged/x.parquet").read_bytes() == whole["injections"]
    assert Path("merged/x-vulnerability.parquet").read_bytes() == whole["vulnerability"]
    assert not list(RUN.glob("*.parts"))

    with pytest.raises(TgrError, match=r"\d+ of 180 faults are there, shards 1/3, 3/3 missing; run the rest and merge"):
        invoke("merge", paths[1])
    inject(toy, "--shard", "4/4")
    with pytest.raises(
        TgrError, match=r"in shards of 3 and of 4, which divide a campaign differently; run the rest of "
    ):
        invoke("merge", paths[0], RUN / "injections-4-of-4.parquet")
    again = Path(shutil.copy(paths[0], "copy.parquet"))
    with pytest.raises(TgrError, match=r"copy.parquet and .*1-of-3.parquet both hold unit 0; leave one of them out"):
        invoke("merge", *paths, again)
    inject(toy, "--shard", "3/3", "--seed", "4")
    with pytest.raises(TgrError, match=r"3-of-3.parquet is of another campaign than .*: seed 4, but 3, plan "):
        invoke("merge", *paths)
    with pytest.raises(TgrError, match=r"--out a does not end in .parquet, as the file of a campaign does"):
        invoke("merge", RUN, "--out", "a")
    with pytest.raises(TgrError, match=r'is of kind "injections", where "shard" is expected'):
        invoke("merge", RUN / "injections.parquet")


def test_shards_of_a_deployed_model_merge_into_the_files_of_its_format(toy: list[str]) -> None:
    inject(toy, "--injections", 8)
    plain = (RUN / "injections.parquet").read_bytes()
    deployed = ("--injections", 8, "--format", "int8", "--weight-format", "int8:channel", "--fault-model", "burst")
    shards = [RUN / f"injections-int8-weights-int8-channel-{number}-of-2.parquet" for number in (1, 2)]
    for number in (1, 2):
        inject(toy, *deployed, "--shard", f"{number}/2")
    merged = invoke("merge", *shards, "-q").stdout
    whole = RUN / "injections-int8-weights-int8-channel.parquet"
    bytes_ = whole.read_bytes()
    title = (
        "toys-build_toy-baseline-int8-weights-int8-channel: 24 faults; burst:length=2 in int8, weights in int8:channel"
    )
    assert merged.strip().startswith(title)
    assert (RUN / "injections.parquet").read_bytes() == plain
    told = json.loads(inject(toy, *deployed, "--json"))
    assert whole.read_bytes() == bytes_
    assert told["run"] == "toys-build_toy-baseline-int8-weights-int8-channel"
    assert [told[name] for name in ("format", "struck_format", "fault_model")] == [
        "int8, weights in int8:channel",
        "int8",
        "burst:length=2",
    ]


def test_shards_may_outnumber_the_units(toy: list[str]) -> None:
    inject(toy, *UNIFORM)
    whole = (RUN / "injections.parquet").read_bytes()
    told = inject(toy, *UNIFORM, "--shard", "1/400", "--verify", 2)
    assert "0 of 180 faults, in 0 of 12 units" in told
    empty = RUN / "injections-1-of-400.parquet"
    assert len(store.read(empty, SHARD).table) == 0
    invoke("merge", empty, *_shards(toy, 2), "--out", "merged.parquet", "-q")
    assert Path("merged.parquet").read_bytes() == whole


def _shards(toy: list[str], count: int) -> list[Path]:
    for number in range(1, count + 1):
        inject(toy, *UNIFORM, "--shard", f"{number}/{count}")
    return [RUN / f"injections-{number}-of-{count}.parquet" for number in range(1, count + 1)]


def test_an_output_does_not_take_the_place_of_an_input(toy: list[str]) -> None:
    shards = _shards(toy, 2)
    inject(toy, *UNIFORM, "--plan-only")
    inject(toy, *UNIFORM)
    plan, listed = RUN / "plan.parquet", RUN / "injections.parquet"
    before = [path.read_bytes() for path in (shards[1], plan, listed)]
    for command in (
        ("merge", *shards, "--out", shards[1]),
        ("inject", *toy, "--plan", plan, "--out", RUN / ".." / RUN.name / "plan.parquet"),
        ("inject", *toy, "--faults", listed),
    ):
        with pytest.raises(TgrError, match=r"\.parquet is read, and the output would take its place; write to another"):
            invoke(*command)
    assert [path.read_bytes() for path in (shards[1], plan, listed)] == before
    assert not list(RUN.glob("*.parts"))


def test_a_shard_holds_its_units_of_the_plan(toy: list[str]) -> None:
    inject(toy, "--plan-only")
    plan = store.read(RUN / "plan.parquet", PLAN)
    units = sorted(set(plan.column("unit")))
    inject(toy, "--shard", "2/4", "--plan", RUN / "plan.parquet")
    shard = store.read(RUN / "injections-2-of-4.parquet", SHARD)
    own = sorted(set(shard.column("unit")))
    assert set(own) < set(units)
    assert 27 <= shard.table.num_rows <= 63  # of 180
    assert len({unit // 3 for unit in own}) <= 2  # of the four chunks
    for name in ("site", "index", "bit", "image_id", "weight", "unit"):
        assert shard.table[name].to_pylist() == plan.table[name].take(shard.table["row"]).to_pylist()


def test_a_stored_plan_is_run_as_it_is_by_any_engine(toy: list[str]) -> None:
    inject(toy, *UNIFORM)
    drawn = (RUN / "injections.parquet").read_bytes()
    inject(toy, *UNIFORM, "--plan-only", "--out", "plan.parquet")
    here = invoke("inject", *toy, "--plan", "plan.parquet")  # the plan records the sampling options
    assert here.exit_code == 0
    assert (RUN / "injections.parquet").read_bytes() == drawn
    inject(toy, "--plan", "plan.parquet", "--engine", "full", "--batch-size", 8, "--out", "full.parquet")
    first, second = store.read(RUN / "injections.parquet", INJECTIONS), store.read(Path("full.parquet"), INJECTIONS)
    assert first.table["outcome"] == second.table["outcome"]
    assert second.provenance.extra["plan"] == first.provenance.extra["plan"]
    assert second.provenance.config["engine"] == "full"

    for changed, words in (
        (("--limit", "zero"), "limit clamp, but zero now"),
        (("--images", "10"), "images None, but 10, pool"),
        (("--all-images",), "all_images False, but True now"),
    ):
        with pytest.raises(TgrError, match=rf"plan.parquet was drawn with .*{words}.*; give the same model, data"):
            inject(toy, "--plan", "plan.parquet", "--restart", *changed)
    assert pq.read_table("plan.parquet").num_rows == 180


def test_a_shard_of_a_stored_plan_classifies_no_image_again(toy: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    true_labels = (*UNIFORM, "--label", "true", "--all-images")
    inject(toy, *true_labels, "--shard", "1/3")
    drawn_here = store.read(RUN / "injections-1-of-3.parquet", SHARD).table
    inject(toy, *true_labels, "--plan-only", "--out", "plan.parquet")

    def classify(*_: object, **__: object) -> None:
        raise AssertionError("the plan says which images are struck")

    monkeypatch.setattr("tgr_cli.models.golden.classify", classify)
    stored = ("--label", "true", "--all-images", "--plan", "plan.parquet")
    inject(toy, *stored, "--shard", "1/3", "--restart")
    assert store.read(RUN / "injections-1-of-3.parquet", SHARD).table == drawn_here


def test_what_a_plan_was_drawn_by_is_not_to_be_given_again(toy: list[str]) -> None:
    inject(toy, *UNIFORM, "--plan-only")
    with pytest.raises(
        TgrError, match=r"--injections is 61, but .*plan.parquet is drawn already; leave --injections o"
    ):
        invoke("inject", *toy, "--plan", RUN / "plan.parquet", "--injections", 61)
    for together, words in (
        (("--plan", "x", "--faults", "y"), "--faults and --plan are given, and each says where the faults come from"),
        (("--out", "a.x"), r"--out a.x does not end in .parquet, as the file of a campaign does; write a.x.parquet"),
        (("--shard", "4/3"), r'--shard is "4/3"; write which of how many, as 2/3'),
        (("--shard", f"1/{10**9}"), r'--shard is "1/1000000000"; write which of how many, as 2/3'),
        (("--shard", "1/2", "--max-sdc-rate", "1"), "a gate judges a whole campaign; leave out --shard, "),
    ):
        with pytest.raises(TgrError, match=words):
            invoke("inject", *toy, *together)


def test_a_forecast_says_what_the_campaign_will_take(toy: list[str]) -> None:
    told = json.loads(inject(toy, *UNIFORM, "--plan-only", "--json", "--nodes", 5))
    assert told["path"] == str(RUN / "plan.parquet")
    assert [told[name] for name in ("sites", "faults", "pilot", "images", "units")] == [3, 180, 0, 30, 12]
    assert 0 < told["seconds"] < 100
    assert 0 < told["start"] < 100
    assert told["seconds"] / 5 < told["seconds_a_node"] - told["start"] < told["seconds"]
    assert 12 * 2_000 < told["disk"] < 1e6
    assert not (RUN / "injections.parquet").exists()
    assert not list(RUN.glob("*.parts"))
    told = inject(toy, *UNIFORM, "--plan-only", "--nodes", 16)
    assert re.search(r": 180 faults at 3 sites on 30 images, in 12 units\nabout \d+ s on this machine", told)
    assert re.search(
        r"on 16 machines such as this one, a shard each, about \d+ s, of which \d+ s pass before the first fault; "
        r"\d of them have nothing to do$",
        told.strip(),
    )
    with pytest.raises(TgrError, match="--nodes does nothing without --plan-only; leave it out"):
        invoke("inject", *toy, "--nodes", 3)


def test_a_forecast_leaves_out_the_profiling_that_is_done_once(toy: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    write = profiling.write
    monkeypatch.setattr(profiling, "write", lambda *given: (time.sleep(1), write(*given))[1])
    began = time.perf_counter()
    told = json.loads(inject(toy, *UNIFORM, "--plan-only", "--json"))
    assert told["start"] < time.perf_counter() - began - 1
