"""Whatever a text, JSON or TOML file holds, it is read or ends in one sentence."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tgr_cli import documents
from tgr_cli.documents import DEEPEST, MalformedError
from tgr_cli.errors import TgrError


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"[" * 100_000 + b"]" * 100_000, "nested more than 64"),
        (b'{"a":' * (DEEPEST + 1) + b"1" + b"}" * (DEEPEST + 1), "nested more than 64"),
        (b"9" * 5000, "is not valid JSON"),
        (b'{"a": [18446744073709551616]}', "holds a number of 65 bits"),
        (b'{"a": 1e999}', "holds inf"),
        (b'["a", NaN]', "holds NaN"),
        (b'{"a": 1, "a": 2}', '"a" stands there twice'),
        (b'{"a": "\\ud800"}', "half a character"),
        (b'{"\\udfff": 1}', "half a character"),
        (b"\xff\xfe{\0}\0", "is UTF-16"),
        (b'{"caf\xe9": 1}', "is no UTF-8 text (byte 0xe9 at 5)"),
        (b'{"a": "\0"}', "a NUL byte at 7"),
        (b"", "is not valid JSON"),
        (b'{"a": 1', "is not valid JSON"),
    ],
)
def test_json_that_is_none_or_holds_what_nothing_can(document: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(MalformedError) as found:
        documents.parse_json(document)
    assert words in str(found.value)
    (path := tmp_path / "a.json").write_bytes(document)
    with pytest.raises(TgrError, match=r"a\.json .*; mend it$"):
        documents.read_json(path, "mend it")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"a = " + b"[" * 100_000, "nested more than 64"),
        (b".".join([b"a"] * 2000) + b" = 1", "nested more than 64"),  # no recursion of the parser shows this one
        (b"a = " + b"9" * 5000, "is not valid TOML"),
        (b"a = 99999999999999999999999", "holds a number of 77 bits"),
        (b"a = nan", "holds nan"),
        (b"a = 1\na = 2", "is not valid TOML"),
        (b"a = 1\rb = 2", "is not valid TOML"),
        (b'a = "caf\xe9"', "is no UTF-8 text"),
        (b'a = "\0"', "a NUL byte"),
    ],
)
def test_toml_that_is_none_or_holds_what_nothing_can(document: bytes, words: str) -> None:
    with pytest.raises(MalformedError) as found:
        documents.parse_toml(document)
    assert words in str(found.value)


def test_what_is_well_formed_is_read_a_byte_order_mark_or_not() -> None:
    value = {"text": "\U0001f600é", "deep": [[[{"a": [1, -(2**64) + 1, 0.5, None, True]}]]]}
    assert documents.parse_json("\ufeff".encode() + json.dumps(value).encode()) == value
    assert documents.parse_toml('\ufeffa = "é"\r\n[b]\nc = [1]\n'.encode()) == {"a": "é", "b": {"c": [1]}}


def test_what_is_no_file_is_called_what_it_is(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    for name, words in (("pipe", "is a named pipe"), ("link", "is a link that leads nowhere"), ("x", "does not exist")):
        with pytest.raises(TgrError, match=f"{name} {words}; name another"):
            documents.read_json(tmp_path / name, "name another")
    with pytest.raises(TgrError, match="is a folder"):
        documents.read_toml(tmp_path, "name another")
    with pytest.raises(TgrError, match="is a device"):
        documents.read_toml(Path("/dev/null"), "name another")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda path: path.mkdir(), "is a folder; mend it"),
        (lambda path: os.mkfifo(path), "is a named pipe; mend it"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device; mend it"),
        (lambda path: path.symlink_to(path), "cannot be reached (Too many levels of symbolic links); mend it"),
        (lambda path: path.symlink_to("nowhere"), "is a link that leads nowhere; mend it"),
        (lambda path: path.write_bytes(b"caf\xe9"), "is no UTF-8 text (byte 0xe9 at 3); mend it"),
        (lambda path: path.write_bytes(b"a\0"), "is no text (a NUL byte at 1); mend it"),
    ],
)
def test_what_is_no_text_file_is_refused_and_never_waited_for(
    made: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    made(path := tmp_path / "a.txt")
    for read in (documents.read_text, documents.read_json, documents.read_toml):
        with pytest.raises(TgrError, match=re.escape(f"a.txt {words}")):
            read(path, "mend it")
