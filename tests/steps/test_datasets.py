"""`tgr datasets`: the list, and which data sets are found."""

import json
from pathlib import Path

from processes import tgr
from typer.testing import CliRunner

from tgr_cli.app import app
from tgr_cli.data.datasets import NAMED
from tgr_cli.steps.datasets import Config, run


def test_lists_every_named_set_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    rows = run(Config(data_root=tmp_path))
    assert tuple(row.name for row in rows) == NAMED
    assert {row.name for row in rows if row.found} == {"mnist", "digits"}
    by_name = {row.name: row for row in rows}
    assert by_name["mnist"].looked_for == str(tmp_path / "MNIST" / "raw")
    assert (by_name["gtsrb"].classes, by_name["gtsrb"].how_to_get) == (43, "--download")
    assert (by_name["digits"].looked_for, by_name["digits"].how_to_get) == (None, "embedded")
    assert run(Config())[1].looked_for == "data/cifar-10-batches-py"
    (tmp_path / "val").mkdir()
    assert run(Config(data_root=tmp_path))[0].looked_for == str(tmp_path)


def test_command(tmp_path: Path) -> None:
    (tmp_path / "gtsrb").mkdir()
    listed = tgr("datasets", "--json", "--data-root", tmp_path)
    assert (listed.code, listed.err) == (0, "")
    assert [row["name"] for row in json.loads(listed.out) if row["found"]] == ["gtsrb", "digits"]
    table = CliRunner().invoke(app, ["datasets", "--data-root", str(tmp_path)])
    assert table.exit_code == 0
    assert "fashion_mnist" in table.stdout
    assert "imagefolder:PATH" in table.stdout
