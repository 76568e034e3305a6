"""A campaign that lies in S3 alone: planned, sharded, killed, merged, reported without a path of this machine."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3_server
from processes import Running
from s3_server import BUCKET
from toys import write_toy_dataset
from toys_artifacts import invoke

from tgr_cli.errors import TgrError
from tgr_cli.paths import place

pytest.importorskip("s3fs")
HERE, THERE = "runs", f"s3://{BUCKET}/runs"
RUN = "toy/toys-build_toy-baseline"
TOY = [
    *("--model", "toys:build_toy", "--crop", "8", "--mean", "0.5", "--std", "0.5", "--weights", "none"),
    *("--label", "golden", "--batch-size", "4", "--sampling", "uniform", "--injections", "12", "-q"),
    *("--memory", f"{384 * 1024 + 8 + 20}KiB"),  # 4 chunks of images, so 12 units
]


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with s3_server.serving() as settings:
        yield settings


@pytest.fixture
def bucket(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make the bucket anew, and provide its path."""
    import s3fs

    for name, value in server.items():
        monkeypatch.setenv(name, value)
    s3_server.forget()
    files = s3fs.S3FileSystem(use_listings_cache=False)
    if files.exists(BUCKET):
        files.rm(BUCKET, recursive=True)
    files.mkdir(BUCKET)
    yield place(f"s3://{BUCKET}")
    s3_server.forget()


def test_a_killed_campaign_in_s3_has_the_bytes_of_one_on_this_machine(bucket: Path, server: dict[str, str]) -> None:
    import s3fs

    write_toy_dataset(Path("toy"))
    s3fs.S3FileSystem().put("toy", f"{BUCKET}/data/toy", recursive=True)
    there = [*TOY, "--dataset", f"parquet:s3://{BUCKET}/data/toy", "--workdir", THERE]
    invoke("inject", *TOY, "--dataset", "parquet:toy")
    whole = {name: Path(HERE, RUN, f"{name}.parquet").read_bytes() for name in ("injections", "vulnerability")}

    plan = f"s3://{BUCKET}/plans/plan.parquet"
    invoke("inject", *there, "--plan-only", "--out", plan)
    run = place(f"{THERE}/{RUN}")
    invoke("inject", *there, "--plan", plan, "--shard", "1/2")
    second = [*there, "--plan", plan, "--shard", "2/2"]
    # Two attempts to write the output and its record, the plan, the description, and 3 of 6 units.
    assert Running(s3_server.tgr_after, 7, "inject", *second, **server).wait().code == -9
    assert len(list((run / "injections-2-of-2.parts").glob("unit-*"))) == 3
    second.remove("-q")
    assert re.search(r"of \d+ faults were finished before and are kept", invoke("inject", *second).stderr)
    assert not list(run.glob("*.parts*"))
    told = json.loads(invoke("merge", run, "--json").stdout)
    assert told["injections"] == f"{THERE}/{RUN}/injections.parquet"
    for name, written in whole.items():
        assert (run / f"{name}.parquet").read_bytes() == written
    page = invoke("report", "--leaderboard", f"s3://{BUCKET}").stdout.strip()
    assert page == f"s3://{BUCKET}/leaderboard.html"
    assert b"toys-build_toy" in place(page).read_bytes()
    assert not list(Path().glob("s3*"))
    record = json.loads((run / "injections.run.json").read_text())
    assert f"{THERE}/{RUN}" in record["options"]["shards"]["value"]


def refused(*arguments: object) -> str:
    with pytest.raises(TgrError) as told:
        invoke(*arguments)
    return str(told.value)


def test_what_fails_in_a_store_is_told_before_the_work(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_toy_dataset(Path("toy"))
    toy = ["inject", *TOY, "--dataset", "parquet:toy", "--workdir"]
    assert "lies in no bucket: nowhere does not exist; make it" in refused(*toy, "s3://nowhere/runs")
    assert "s3://campaigns/none.parquet does not exist" in refused("show", "s3://campaigns/none.parquet")
    assert '"ftp://b/x" lies in no store that tgr knows; use s3://' in refused(*toy, "ftp://b/x")
    assert "pictures in folders are read one by one" in refused(*toy, THERE, "--dataset", f"imagefolder:{THERE}")
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    assert 'gs:// needs a package that is not installed; install it with pip install "tgr[cloud]"' in refused(
        *toy, "gs://b/runs"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3_server.forget()
    assert "no such credentials (Unable to locate credentials); set AWS_ACCESS_KEY_ID" in refused(*toy, THERE)
    assert not Path("runs").exists()


def test_a_server_that_does_not_answer_loses_nothing(
    bucket: Path, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3_server.forget()
    assert "cannot be read: the store does not answer as it should (Could not connect" in refused(
        "show", "s3://campaigns/x.parquet"
    )
