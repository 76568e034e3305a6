"""Campaigns whose faults are dealt to feature maps, through the command line, and the artifact `feature_maps`."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toys import write_toy_dataset
from toys_artifacts import invoke

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import FEATURE_MAPS, INJECTIONS
from tgr_cli.campaign import feature_maps
from tgr_cli.errors import TgrError

RUN = Path("runs/toy/toys-build_toy-baseline")
MAP = ("--granularity", "map")


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    folder = write_toy_dataset(tmp_path / "toy")
    grey = ["--crop", "8", "--mean", "0.5", "--std", "0.5", "--weights", "none", "--label", "golden"]
    # As in test_merge: golden values of a few images only, so that a campaign has several units.
    few = ["--batch-size", "4", "--memory", f"{384 * 1024 + 8 + 20}KiB"]
    return ["--dataset", f"parquet:{folder}", *grey, *few]


@pytest.fixture
def toy(data: list[str]) -> list[str]:
    return ["--model", "toys:build_toy", *data]


def inject(toy: list[str], *more: object) -> dict:
    return dict(json.loads(invoke("inject", *toy, "-q", "--json", *more).stdout))


def test_every_map_has_its_faults_and_figures_and_their_sum_is_v_cnn(toy: list[str]) -> None:
    told = inject(toy, *MAP, "--injections", 40, "--sampling", "uniform")
    maps, injections = pd.read_parquet(RUN / "feature_maps.parquet"), pd.read_parquet(RUN / "injections.parquet")
    assert list(zip(maps.site, maps.channel, maps.neurons, maps.macs, strict=True)) == [
        *(("conv1", channel, 64, 576) for channel in range(4)),
        *(("conv2", channel, 16, 576) for channel in range(6)),
    ]
    np.testing.assert_allclose(maps.v_orig, 0.1)  # each does 576 of the 5,760 MACs of the convolutions
    assert (maps.faults == 40).all()
    channel = injections["index"].str[0]
    for row in maps.itertuples():
        own = injections[(injections.site == row.site) & (channel == row.channel)]
        assert len(own) == 40
        np.testing.assert_allclose(row.mean_dloss, own.dloss.mean())
        np.testing.assert_allclose(row.sdc_rate, (own.outcome == "sdc").mean())
        for v, p_prop in (("v_dloss", "mean_dloss"), ("v_sdc", "sdc_rate")):
            for end in ("", "_low", "_high"):
                np.testing.assert_allclose(getattr(row, v + end), getattr(row, p_prop + end) / 10)
    for name in ("v_dloss", "v_sdc"):
        whole = told["maps"]["v_cnn"][name]
        np.testing.assert_allclose(whole["mean"], maps[name].sum())
        assert whole["low"] <= whole["mean"] <= whole["high"]
    np.testing.assert_allclose(told["maps"]["v_cnn"]["v_dloss"]["mean"], told["network"]["v_cnn_share"]["mean"])
    assert [row["faults"] for row in told["sites"]] == [160, 240]
    stored = feature_maps.read(RUN / "injections.parquet")
    assert stored.provenance.extra["feature_maps"] == {
        "conv1": {"axis": 0, "count": 4},
        "conv2": {"axis": 0, "count": 6},
    }
    assert stored.provenance.extra["v_cnn"]["v_sdc"][0] == told["maps"]["v_cnn"]["v_sdc"]["mean"]
    assert (RUN / "feature_maps.run.json").exists()
    _shown(maps, told["maps"]["v_cnn"])


def _shown(maps: pd.DataFrame, v_cnn: dict) -> None:
    """Check what `tgr show` says of the artifact."""
    path = RUN / "feature_maps.parquet"
    digest = json.loads(invoke("show", path, "--rows", 3, "--json").stdout)["digest"]
    for name in ("v_dloss", "v_sdc"):
        assert digest["v_cnn"][name] == [v_cnn[name][end] for end in ("mean", "low", "high")]
        shares, whole = [site[f"{name}_share"] for site in digest["sites"]], maps[name].sum()
        assert shares == (
            [pytest.approx(v) for v in maps.groupby("site")[name].sum() / whole] if whole else [None, None]
        )
    assert [(site["site"], site["maps"]) for site in digest["sites"]] == [("conv1", 4), ("conv2", 6)]
    worst = maps.sort_values("v_dloss", ascending=False).head(3)
    assert [(row["site"], row["channel"]) for row in digest["most"]] == list(
        zip(worst.site, worst.channel, strict=True)
    )
    text = invoke("show", path).stdout
    assert f"V_CNN by mean dLoss (nats): {v_cnn['v_dloss']['mean']:.4g} (" in text
    assert "Most vulnerable feature maps" in text


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        ("toys_frames:build", ("--granularity", "channel"), {"conv": (1, 5), "mix": (1, 6), "head": (0, 3)}),
        ("toys_tokens:build", ("--granularity", "channel", "--targets", "linear"), {"mix": (0, 40), "head": (0, 3)}),
    ],
)
def test_channels_are_found_wherever_they_lie(
    model: str, options: tuple[str, ...], expected: dict[str, tuple[int, int]], data: list[str]
) -> None:
    inject(["--model", model, *data], *options, "--injections", 3, "--sampling", "uniform", "--out", "x.parquet")
    injections, maps = pd.read_parquet("x.parquet"), pd.read_parquet("x-feature_maps.parquet")
    for site, (axis, count) in expected.items():
        channel = injections[injections.site == site]["index"].str[axis]
        assert np.bincount(channel).tolist() == [3] * count
        own = maps[maps.site == site]
        assert own.channel.tolist() == list(range(count))
        hits = injections[(injections.site == site) & (injections.outcome == "sdc")]["index"].str[axis]
        assert own.sdc.tolist() == np.bincount(hits.astype(int), minlength=count).tolist()
    assert set(maps.site) == set(injections.site) == set(expected)
    np.testing.assert_allclose(maps.v_orig.sum(), 1)


def test_sites_counts_the_maps_of_convolutions_alone_wherever_their_channels_lie() -> None:
    told = json.loads(
        invoke(
            "sites",
            "--model",
            "toys_frames:build",
            "--num-classes",
            3,
            "--crop",
            8,
            "--json",
            "--mean",
            "0.5",
            "--std",
            "0.5",
        ).stdout
    )
    assert {site["site"]: (site["shape"], site["feature_maps"]) for site in told} == {
        "conv": ([2, 5, 2, 6], 5),
        "mix": ([2, 6], 0),
        "head": ([3], 0),
    }


def test_shards_and_stored_plans_give_the_bytes_of_an_undisturbed_run(toy: list[str]) -> None:
    drawn = (*MAP, "--injections", 6, "--seed", 3)
    assert inject(toy, *drawn, "--verify", 20)["verified"] == 20
    names = ("injections", "vulnerability", "feature_maps")
    whole = [(RUN / f"{name}.parquet").read_bytes() for name in names]
    for number in (1, 2):
        inject(toy, *drawn, "--shard", f"{number}/2")
    shards = [RUN / f"injections-{number}-of-2.parquet" for number in (1, 2)]
    merged = json.loads(invoke("merge", *shards, "--out", "merged/injections.parquet", "--json", "-q").stdout)
    assert [Path(f"merged/{name}.parquet").read_bytes() for name in names] == whole
    assert merged["maps"]["path"] == "merged/feature_maps.parquet"

    inject(toy, *drawn, "--plan-only", "--out", "plan.parquet")
    inject(toy, "--plan", "plan.parquet", "--out", "planned/injections.parquet")
    inject(toy, "--plan", "plan.parquet")  # over the campaign that it is: of the same faults
    planned = [pd.read_parquet(f"planned/{name}.parquet") for name in names]
    for found, name in zip(planned, names, strict=True):
        pd.testing.assert_frame_equal(found, pd.read_parquet(RUN / f"{name}.parquet"))
        pd.testing.assert_frame_equal(found, pd.read_parquet(f"merged/{name}.parquet"))
    inject(toy, "--injections", 6, "--plan-only", "--out", "sites.parquet")
    with pytest.raises(TgrError, match=r"--granularity is map, but sites.parquet is drawn already; leave --gran"):
        inject(toy, "--plan", "sites.parquet", *MAP, "--out", "y.parquet")


@pytest.mark.parametrize("lasting", [(), ("--lasting", "--images-per-fault", "2")])
def test_the_first_faults_of_every_map_are_those_of_a_smaller_campaign(lasting: tuple, toy: list[str]) -> None:
    drawn = (*MAP, "--sampling", "uniform", *lasting)
    inject(toy, *drawn, "--injections", 2, "--out", "few.parquet")
    inject(toy, *drawn, "--injections", 5, "--out", "more.parquet")
    few, more = (
        pd.read_parquet(f"{name}.parquet").sort_values(["site", "fault", "image_id"]) for name in ("few", "more")
    )
    first = more[more.fault < 2 * more.site.map({"conv1": 4, "conv2": 6})]
    pd.testing.assert_frame_equal(few.reset_index(drop=True), first.reset_index(drop=True))
    maps = pd.read_parquet("more-feature_maps.parquet")
    assert (maps.faults == 5).all()
    assert (maps[["sdc", "non_finite", "masked", "benign"]].sum(axis=1) == (10 if lasting else 5)).all()


def test_a_map_campaign_and_one_of_whole_sites_do_not_replace_each_other(toy: list[str]) -> None:
    inject(toy, *MAP, "--injections", 3)
    with pytest.raises(TgrError, match="with --granularity map, and this one has --granularity site; write this one"):
        inject(toy, "--injections", 3)
    before = store.read(RUN / "feature_maps.parquet", FEATURE_MAPS).sha256
    inject(toy, "--injections", 3, "--restart")
    assert store.read(RUN / "feature_maps.parquet", FEATURE_MAPS).sha256 == before
    assert "granularity" not in store.read(RUN / "injections.parquet", INJECTIONS).provenance.config
    with pytest.raises(TgrError, match=r"feature_maps.parquet was made from other injections than .*injections.parq"):
        feature_maps.read(RUN / "injections.parquet")
    with pytest.raises(TgrError, match="with --granularity site, and this one has --granularity map"):
        inject(toy, *MAP, "--injections", 3)
    with pytest.raises(TgrError, match=r"missing-feature_maps.parquet does not exist; run \"tgr inject --granularity"):
        feature_maps.read(Path("missing.parquet"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--target", "weight"),
            "--granularity map strikes --injections neurons in each feature map; leave out --target",
        ),
        (("--strike", "scale", "--format", "mxfp8_e4m3"), "in each feature map; leave out --strike"),
        (("--target-ci", "sdc=0.1"), "in each feature map; leave out --target-ci"),
        (("--faults", "list.csv"), "in each feature map; leave out --faults"),
        (("--exhaustive", "last"), "in each feature map; leave out --exhaustive"),
        (("--surface", "int8"), "in each feature map; leave out --surface"),
        (("--sampling", "stratified"), "--sampling stratified gives the bits of a site unequal numbers of faults"),
        (
            ("--targets", "linear"),
            "the model has none among its 1 sites of --targets linear; use --granularity channel",
        ),
        (("--replay", "0"), "--granularity and --injections do nothing beside --replay"),
        (("--granularity", "layer"), '--granularity is "layer"; use one of site, map, channel'),
    ],
)
def test_what_cannot_go_with_feature_maps_is_refused(options: tuple[str, ...], words: str, toy: list[str]) -> None:
    Path("list.csv").write_text("site,index,bit,image_id\n")
    with pytest.raises(TgrError, match=re.escape(words)):
        inject(toy, *MAP, "--injections", 3, *options)
    assert not list(Path().rglob("*.parts"))
    assert not list(RUN.glob("*.parquet"))
