"""Judgements by function are those of the commands on the same runs."""

from pathlib import Path
from typing import Any

import pytest
from toys import toy_net, toy_tensors

from tgr_cli import api as tgr
from tgr_cli.steps import compare, fit, protect

QUICK: dict[str, Any] = {"progress": False}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[tgr.Run, tgr.Run]:
    """Two networks in their folders, each evaluated and struck, feature map by feature map."""
    data = toy_tensors()
    workdir = tmp_path_factory.mktemp("runs")

    def measured(seed: int) -> tgr.Run:
        about: dict[str, Any] = {"name": f"net{seed}", "workdir": workdir, **QUICK}
        tgr.evaluate(toy_net(seed), data, **about)
        struck = {"injections": 24, "granularity": "map", "all_images": True, "limit": "none"}
        return tgr.inject(toy_net(seed), data, **about, **struck)

    return measured(0), measured(1)


def test_a_comparison(runs: tuple[tgr.Run, tgr.Run], tmp_path: Path) -> None:
    ours = tgr.compare(*runs, min_improvement=0.001, **QUICK)
    paths = [str(run.folder) for run in runs]
    config = compare.Config(baseline=paths[0], candidates=paths[1:], min_improvement=0.001, out=tmp_path / "c.parquet")
    theirs = compare.run(config)
    assert list(ours.table) == theirs.rows
    assert ours.gate == theirs.gate
    assert ours.gate is not None
    assert ours.gate.verdict in ours._repr_html_()


def test_failures_in_time(runs: tuple[tgr.Run, tgr.Run], tmp_path: Path) -> None:
    ours = tgr.fit(runs[0], str(runs[1].folder), raw_fit=100, out=tmp_path / "ours.parquet", **QUICK)
    config = fit.Config(runs=[str(run.folder) for run in runs], raw_fit=100, out=tmp_path / "theirs.parquet")
    assert list(ours.table) == fit.run(config).rows
    assert {row["model"] for row in ours.table} == {"net0-baseline", "net1-baseline"}
    assert (tmp_path / "ours.parquet").read_bytes() == (tmp_path / "theirs.parquet").read_bytes()


def test_protection(runs: tuple[tgr.Run, tgr.Run], tmp_path: Path) -> None:
    given: dict[str, Any] = {"technique": ("ilr", "flr"), "target_coverage": 0.5, "split": 0.5, "folds": 1}
    ours = tgr.protect(runs[0], **given, **QUICK)
    config = protect.Config(runs=[str(runs[0].folder)], out=tmp_path / "p.parquet", **given)
    assert list(ours.table) == protect.run(config).rows
    assert {row["technique"] for row in ours.table} == {"ilr", "flr"}


def test_errors_are_in_the_words_of_python(runs: tuple[tgr.Run, tgr.Run]) -> None:
    with pytest.raises(tgr.TgrError, match="gate_on= overall names a factor without a gate; set one with min_improv"):
        tgr.compare(*runs, gate_on="overall", **QUICK)
    with pytest.raises(tgr.TgrError, match=r'there is no argument "folde"\. Did you mean "folds"'):
        tgr.protect(runs[0], folde=1, **QUICK)  # type: ignore[call-arg]
