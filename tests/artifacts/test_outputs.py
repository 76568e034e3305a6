"""An output replaces only files of the same kind written by tgr, and never an input."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tgr_cli.artifacts import store
from tgr_cli.artifacts.outputs import named_files, prepare
from tgr_cli.artifacts.parts import Parts
from tgr_cli.artifacts.schemas import RANGES
from tgr_cli.errors import TgrError

NUMBERS = ("min", "max", "max_abs", "mean_abs", "p99", "p99_9", "p99_99")


def ranges(path: Path) -> Path:
    return store.write(
        path, RANGES, {"site": ["fc"]} | {name: [1.0] for name in NUMBERS}, store.provenance_for(RANGES, seed=1)
    )


@dataclass(frozen=True)
class Config:
    given: Path | None = None
    several: tuple[Path, ...] = ()
    dataset: str = "digits"
    out: Path | None = None


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(path))


def _link_to_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("a pipe"))
    path.symlink_to("a pipe")


def _picture(path: Path) -> None:
    Image.new("L", (2, 2)).save(path, "PNG")


def _record(path: Path) -> None:
    path.with_name("out.run.json").write_text('{"mine": 1}')


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (os.mkfifo, "golden", "is a named pipe, where a file is to be written"),
        (_socket, "golden", "is a socket"),
        (Path.mkdir, "golden", "is a folder"),
        (_link_to_pipe, "golden", "is a symbolic link"),
        (lambda path: path.symlink_to(ranges(path.with_name("real"))), "ranges", "is a symbolic link"),
        (lambda path: path.symlink_to("nothing"), "ranges", "is a symbolic link"),
        (ranges, "golden", 'is an artifact of kind "ranges", where "golden" is to be written'),
        (ranges, "page", "where a report is to be written"),
        (_picture, "picture", "was not written by tgr"),
        (lambda path: path.write_text("notes"), "golden", "was not written by tgr"),
        (lambda path: path.write_text("<html>mine</html>"), "page", "was not written by tgr"),
        (lambda path: path.write_bytes(b"PAR1 torn"), "golden", "was not written by tgr, or is damaged"),
        (_record, "golden", "out.run.json was not written by tgr"),
    ],
)
def test_what_is_in_the_way_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object], kind: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("out.parquet").absolute()
    make(path)
    before = {file.name: file.lstat() for file in tmp_path.iterdir()}
    with pytest.raises(TgrError) as found:
        prepare(path, kind)
    assert words in str(found.value)
    if kind == "golden" and "record" not in make.__name__ and not path.is_file():
        with pytest.raises(TgrError), store.replacing(path):
            pytest.fail("a place that holds no regular file was opened")
    after = {file.name: file.lstat() for file in tmp_path.iterdir()}
    assert {name: (s.st_ino, s.st_size, s.st_mode) for name, s in before.items()} == {
        name: (s.st_ino, s.st_size, s.st_mode) for name, s in after.items()
    }


def test_an_input_is_kept_by_whatever_name_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = ranges(tmp_path / "a.parquet")
    (tmp_path / "hard.parquet").hardlink_to(given)
    (tmp_path / "folder").symlink_to(tmp_path)
    outputs = [
        Path("a.parquet"),
        Path("folder/a.parquet"),
        Path("hard.parquet"),
        Path("..") / tmp_path.name / "a.parquet",
    ]
    configs = [Config(given=given), Config(several=(Path("b"), given)), Config(dataset=f"parquet:{given}")]
    for output in outputs:
        for config in configs:
            with pytest.raises(TgrError, match="is read, and the output would take its place"):
                prepare(output, "ranges", config)
    assert prepare(given, "ranges", Config(out=given)) == given


def test_the_same_kind_an_empty_file_and_nothing_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "empty.parquet").touch()
    for path in (ranges(tmp_path / "a.parquet"), tmp_path / "empty.parquet", tmp_path / "new" / "b.parquet"):
        assert store.read(ranges(prepare(path, "ranges")), RANGES).provenance.seed == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet", "empty.parquet", "new"]


def test_a_name_that_is_no_utf8_or_too_long_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    for name, words in (("caf\udce9.parquet", "no UTF-8"), ("x" * 250 + ".parquet", "x cannot|File name too long")):
        with pytest.raises(TgrError, match=words):
            prepare(tmp_path / "new" / name, "ranges")
    assert not list(tmp_path.glob("*/*"))


def test_the_files_that_a_config_names() -> None:
    config = Config(Path("a"), (Path("b"), Path("c")), "imagefolder:d", out=Path("e"))
    assert [path.name for path in named_files(config)] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("name", ["thesis.txt", "data.parquet", "folder"])
def test_a_folder_of_parts_that_holds_something_else_is_kept(tmp_path: Path, name: str) -> None:
    parts = tmp_path / "x.parts"
    parts.mkdir()
    (parts / name).mkdir() if name == "folder" else (parts / name).write_text("mine")
    with pytest.raises(TgrError, match=f"holds {name}, which is no part of a campaign"), Parts.beside(tmp_path / "x.p"):
        pytest.fail("it was taken for a folder of parts")
    assert [path.name for path in parts.iterdir()] == [name]


@pytest.mark.parametrize(
    "about",
    ["null", "5", "[]", '{"campaign": 5, "plans": 5}', '{"campaign": {}}', "[" * 20_000, "{", "\0", '"\\ud800"'],
)
def test_a_damaged_description_of_parts_is_told(tmp_path: Path, about: str) -> None:
    (tmp_path / "x.parts").mkdir()
    (tmp_path / "x.parts" / "campaign.json").write_text(about)
    with Parts.beside(tmp_path / "x.parquet") as parts, pytest.raises(TgrError, match=r"campaign\.json .*--restart$"):
        parts.about()
