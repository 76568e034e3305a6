"""Two processes that write one campaign into a store, where no lock keeps one of them out: the bytes are as of one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toys import write_toy_dataset
from toys_artifacts import invoke

from tgr_cli import api
from tgr_cli.errors import TgrError
from tgr_cli.paths import place
from tgr_cli.storage import remote

RUN = "toy/toys-build_toy-baseline"
THERE = "memory://shared/runs"
TOY = [
    *(
        "inject",
        "--model",
        "toys:build_toy",
        "--dataset",
        "parquet:toy",
        "--crop",
        "8",
        "--mean",
        "0.5",
        "--std",
        "0.5",
    ),
    *("--weights", "none", "--label", "golden", "--batch-size", "4", "--sampling", "uniform", "-q"),
    *("--memory", f"{384 * 1024 + 8 + 20}KiB", "--injections", "12"),  # 4 chunks of images, so 12 units
]


@pytest.fixture
def whole() -> Iterator[dict[str, bytes]]:
    """Run the campaign on this machine, and provide the bytes of its artifacts by path."""
    remote.RemotePath("memory://shared").remove_all()
    write_toy_dataset(Path("toy"))
    invoke(*TOY)
    yield {name: Path("runs", RUN, f"{name}.parquet").read_bytes() for name in ("injections", "vulnerability")}
    remote.RemotePath("memory://shared").remove_all()


def interrupt(monkeypatch: pytest.MonkeyPatch, part: int, other: Any) -> None:
    """Call `other` once, when the process is about to store its part number `part`."""
    publish, left = remote.publish, part

    def counted(file: Path, path: remote.RemotePath) -> None:
        nonlocal left
        left -= path.name.startswith("unit-")
        if not left:
            left = -1
            other()
        publish(file, path)

    monkeypatch.setattr(remote, "publish", counted)


def test_a_second_process_that_begins_and_ends_in_between_changes_nothing(
    whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [*TOY, "--workdir", THERE]
    interrupt(monkeypatch, 7, lambda: invoke(*there))
    invoke(*there)
    run = place(f"{THERE}/{RUN}")
    assert {name: (run / f"{name}.parquet").read_bytes() for name in whole} == whole
    assert not (run / "injections.parts").exists()
    assert api.open(str(run)).name == "toys-build_toy-baseline"  # a run is found by its path, too


def test_another_campaign_to_the_same_output_is_refused(
    whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [*TOY, "--workdir", THERE]
    told = []

    def other() -> None:
        with pytest.raises(TgrError) as refused:
            invoke(*there, "--seed", "5")
        told.append(str(refused.value))

    interrupt(monkeypatch, 2, other)
    invoke(*there)
    assert f"{THERE}/{RUN}/injections.parts keeps a campaign that was begun with seed 0, but 5 now" in told[0]
    assert (place(f"{THERE}/{RUN}") / "injections.parquet").read_bytes() == whole["injections"]
