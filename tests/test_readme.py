"""Every line that the README tells a newcomer to type runs as it is printed, in order."""

import io
import re
import shlex
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from toys_artifacts import invoke

from tgr_cli.errors import TgrError

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NAMES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
TRAIN, TEST = 240, 40


def lines() -> list[str]:
    """Return the lines of the README's indented and fenced blocks, those that go on after a backslash as one."""
    found, fenced = [], False
    commands = re.sub(r"^```python\n.*?^```$", "", README, flags=re.DOTALL | re.MULTILINE)  # tests/api runs these
    for line in commands.replace("\\\n", "").splitlines():
        fenced ^= line.startswith("```")
        if fenced or line.startswith("    "):
            found += [" ".join(line.split())] if not line.startswith("```") else []
    return found


# What is checked otherwise than by running it here.
INSTALLING = {
    "pip install . && tgr demo": "pip install '.[dev]'",  # test_demo runs the demo; a plain install is part of this one
    "pip install '.[dev]' && pytest": "pip install '.[dev]'\npytest",
}
WITH_YOUR_WEIGHTS = (
    "tgr inject --model squeezenet1_1 --checkpoint squeezenet1_1.pth --dataset parquet:images.parquet --injections 64 "
    "--max-sdc-rate 0.02 --json"
)


def write_stand_in(folder: Path) -> None:
    """Write digits as grey 28×28 pictures under Fashion-MNIST's class names: small, and of the same layout."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    schema = pa.schema([("image", pa.binary()), ("label", pa.int64())], metadata={"classes": "\n".join(NAMES)})
    folder.mkdir()
    for name, rows in (("train", range(TRAIN)), ("test", range(TRAIN, TRAIN + TEST))):
        images = []
        for row in rows:
            pixels = np.round(digits.images[row] * (255 / 16)).astype(np.uint8)
            encoded = io.BytesIO()
            Image.fromarray(pixels).resize((28, 28)).save(encoded, "PNG")
            images.append(encoded.getvalue())
        table = pa.table({"image": images, "label": digits.target[list(rows)]}, schema=schema)
        pq.write_table(table, folder / f"{name}.parquet")


def write_real(folder: Path, shared: Path) -> None:
    """Write some of Fashion-MNIST's own pictures, of every class."""
    folder.mkdir()
    for name, stored, count in (("train", "train_1000_per_class", TRAIN), ("test", "test", TEST)):
        table = pq.read_table(shared / "fashion_mnist" / f"{stored}.parquet")
        pq.write_table(table.take(np.linspace(0, len(table) - 1, count).astype(int)), folder / f"{name}.parquet")


@pytest.mark.long
def test_every_command_runs_in_its_order(shared_data_if_any: Path | None) -> None:
    """On Fashion-MNIST's own pictures where they are at hand."""
    pictures = Path("fashion_mnist")
    write_real(pictures, shared_data_if_any) if shared_data_if_any else write_stand_in(pictures)
    for line in lines():
        if line not in INSTALLING and line != WITH_YOUR_WEIGHTS:
            program, *arguments = shlex.split(line)
            assert program == "tgr", f"the README says to type {line!r}, which no test runs"
            result = invoke(*arguments)
            assert result.exit_code == 0, f"{line}: {result.output}"
    whole = Path("runs/fashion_mnist")
    assert (whole / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    for name in ("sweep.parquet", "comparison.parquet", "saliency.png", "lenet5-baseline/vulnerability.parquet"):
        assert (whole / name).exists()
    assert Path("merged.parquet").exists()


def test_what_is_installed_is_what_the_checks_install() -> None:
    run, check = ((ROOT / ".ci" / name).read_text(encoding="utf-8") for name in ("run", "check"))
    assert re.search(r"^\.ci/check$", run, re.MULTILINE)  # all checks, the tests among them
    script = run + re.sub(r"^(\w+)\(\) \{ (.*); \}", r"\2", check, flags=re.MULTILINE)
    for line, checked in INSTALLING.items():
        assert line in lines()
        for command in checked.splitlines():
            assert re.search(rf"^{re.escape(command).replace('install', 'install(?: --quiet)?')}", script, re.MULTILINE)


def test_the_command_that_needs_your_own_files_names_them() -> None:
    assert WITH_YOUR_WEIGHTS in lines()
    with pytest.raises(TgrError) as caught:
        invoke(*shlex.split(WITH_YOUR_WEIGHTS)[1:])
    assert "images.parquet does not exist" in str(caught.value)
    assert "--checkpoint squeezenet1_1.pth does not exist" in str(caught.value)


def test_what_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README)
    assert "docs/report.png" in links
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert (ROOT / "docs" / "report.png").stat().st_size < 150_000


def test_commands_and_options_that_the_text_names_exist() -> None:
    """Each `tgr …` in backticks names a command, and options that its help knows."""
    named = re.findall(r"`(tgr [a-z][^`]*)`", README)
    assert len(named) > 15
    help_of = cache(lambda command: invoke(command, "--help").output)
    for text in named:
        _, command, *rest = text.split()
        if not command.islower() or command in ("command",):
            continue
        known = help_of(command)
        for option in (word for word in rest if word.startswith("--")):
            assert option in known, f"{text}: tgr {command} has no option {option}"
