"""Paths in a store behave as those of pathlib: names, questions, reading; and files appear whole or not at all."""

import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tgr_cli.errors import TgrError
from tgr_cli.paths import ask_anew, matching, place, publish, remove_folder
from tgr_cli.storage import copies
from tgr_cli.storage.remote import RemotePath


@pytest.fixture
def folder() -> Iterator[Path]:
    place("memory://box").remove_all()
    yield place("memory://box")
    place("memory://box").remove_all()


def put(path: Path, text: str) -> Path:
    file = copies.new_file(path.name)
    file.write_text(text)
    publish(file, path)
    return path


@pytest.mark.parametrize("text", ["s3://b/runs/x.parquet", "gs://b/runs/x.parquet", "memory://b/runs/x.parquet"])
def test_names_are_computed_as_for_other_paths(text: str) -> None:
    path = place(text)
    assert isinstance(path, RemotePath)
    assert str(path) == f"{path}" == text
    assert str(path.with_stem("y")) == text.replace("x.", "y.")
    assert str(path.parent / "z") == text.replace("x.parquet", "z")
    assert str(path.relative_to(path.parents[1])) == "runs/x.parquet"
    assert (path.name, path.suffix, path.stem) == ("x.parquet", ".parquet", "x")
    assert path == place(path) == place(Path(text)) == pickle.loads(pickle.dumps(path))
    assert hash(path) == hash(place(text))


def test_paths_of_this_machine_stay_what_they_are() -> None:
    assert type(place("runs/x")) is type(Path())
    assert place("file:///tmp/x") == Path("/tmp/x")
    assert place("C:/x") == Path("C:/x")
    assert place("10:30/x") == Path("10:30/x")
    for slip in ("./s3:/x", "./http:/x"):
        assert place(place(slip)) == Path(slip).absolute()
    Path("ab:").mkdir()
    assert place("ab:/x") == Path("ab:/x").absolute()


@pytest.mark.parametrize("text", ["s3:/b/x", "GS:/b/x"])
def test_one_slash_is_told_from_two_where_it_is_typed(text: str) -> None:
    scheme, _, rest = text.partition(":/")
    with pytest.raises(TgrError, match=f'^"{text}" is no address .*; write {scheme}://{rest}, with two slashes$'):
        place(text)
    assert str(place(Path(f"{scheme}://{rest}"))) == f"{scheme}://{rest}"


@pytest.mark.parametrize(
    "text", ["s3:x/y", " s3://b/x", "GS:x", "file:/tmp/x", "FILE:///tmp/x", "file://tmp/x", "file://localhost/x"]
)
def test_what_is_almost_an_address_is_no_folder_of_this_machine(text: str) -> None:
    scheme = text.strip().partition(":")[0].lower()
    with pytest.raises(TgrError, match=f'^"{text}" is no address as tgr reads it; write {scheme}://'):
        place(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "s3://b/x.parquet?versionId=3",
            'names a version, where tgr reads and writes the newest; leave "?versionId=…" ',
        ),
        ("s3://", "names no bucket; write s3://bucket/…"),
        ("GS:///", "names no bucket; write gs://bucket/…"),
    ],
)
def test_addresses_that_a_client_would_take_for_another_are_refused(text: str, told: str) -> None:
    with pytest.raises(TgrError, match=re.escape(f'"{text}" {told}')):
        place(text)
    assert place("s3://b/what?.parquet").name == "what?.parquet"


@pytest.mark.parametrize("text", ["s3://b/../c", "memory://box/runs/.."])
def test_no_store_resolves_the_folder_above(text: str) -> None:
    with pytest.raises(TgrError, match=r'has "\.\." in it, which no store resolves; write the path without it$'):
        place(text)
    assert place(text.replace("..", "..a")).name.startswith(("c", "..a"))


@pytest.mark.parametrize(
    "text", ["ftp://host/x", "s4://b/x", "https://host/x.parquet", "runs/s3://b/x", "http:/x", "ss3:/b"]
)
def test_other_schemes_are_refused(text: str) -> None:
    with pytest.raises(
        TgrError, match=r"lies in no store that tgr knows; use s3://, .*memory://, or (a|\./.* for a) path of "
    ):
        place(text)


def test_questions_are_answered_by_the_store(folder: Path) -> None:
    file = put(folder / "deep" / "a.txt", "one")
    put(folder / "deep" / "[b].txt", "two")
    assert file.exists()
    assert file.is_file()
    assert not file.is_dir()
    assert file.parent.is_dir()
    assert not (folder / "c").exists()
    assert file.stat().st_size == 3
    assert {path.name for path in file.parent.iterdir()} == {"a.txt", "[b].txt"}
    assert list(folder.glob("*/a*")) == matching(folder / "*" / "a*") == [file]
    assert sorted(folder.rglob("*.txt")) == sorted(file.parent.iterdir())
    with pytest.raises(FileNotFoundError, match="memory://box/c"):
        (folder / "c").read_bytes()
    with pytest.raises(TgrError, match=r"memory://box/deep is a folder in a store"):
        file.parent.read_bytes()


def test_what_another_process_stored_since_is_read(folder: Path) -> None:
    file = put(folder / "a.txt", "one")
    assert file.read_text() == "one"
    file.files.pipe_file(file.key, b"another")
    ask_anew()
    assert file.exists()
    assert file.read_text() == "another"
    file.unlink()
    assert not file.exists()
    file.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        file.unlink()


def test_a_file_is_replaced_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = put(folder / "a.txt", "one")

    def breaks(source: str, key: str, **_: object) -> None:
        file.files.pipe_file(key, b"tw")
        raise ConnectionError("the line is down")

    with monkeypatch.context() as patched:
        patched.setattr(type(file.files), "put_file", lambda self, *of: breaks(*of))
        with pytest.raises(TgrError, match=r"memory://box/a.txt cannot be written: the store .*the line is down"):
            put(file, "two")
    assert file.read_text() == "one"
    assert put(file, "two").read_text() == "two"
    remove_folder(folder)
    assert not folder.exists()


def test_nothing_is_opened_for_writing(folder: Path) -> None:
    with pytest.raises(AssertionError, match="publish"):
        (folder / "a").write_text("x")
