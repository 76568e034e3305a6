"""Answers of a language model are kept: none is asked for twice, whatever ended the run before."""

import os
import signal

import pytest
from llm_server import serving
from toys_llm import KEPT, Heard, described, for_bars, good, model

from tgr_cli.errors import TgrError
from tgr_cli.text.answers import Answers


def test_no_answer_is_paid_twice() -> None:
    with serving() as server:
        found = described(server.url, samples_per_question=2)
        assert described(server.url, samples_per_question=2) == found
        assert server.asked.total() == 30
        # One torn and one damaged line: both questions are asked again, with a note.
        lines = KEPT.read_bytes().splitlines(keepends=True)
        lines[3] = lines[3].replace(b"mark", b"bark")
        KEPT.write_bytes(b"".join(lines)[:-20])
        heard = Heard()
        assert described(server.url, heard, samples_per_question=2) == found
        assert server.asked.total() == 32
        assert heard.notes[0].startswith("2 torn or damaged lines of kept.jsonl are left out")
        assert described(server.url, samples_per_question=2) == found
        assert server.asked.total() == 32
        # Other settings have other question keys.
        described(server.url, temperature=0.5)
        assert server.asked.total() == 47
    assert len({d.text for d in found}) == 15


def test_a_higher_limit_asks_again_what_was_cut_short_and_nothing_else() -> None:
    with serving(for_bars("truncated")) as server:
        found = described(server.url)
        assert server.asked.total() == 10 + 3 * 5
        server.behaviour = lambda prompt, times: "well"
        assert described(server.url, max_tokens=128) == found
        assert server.asked.total() == 25
        assert all(map(good, described(server.url, max_tokens=512)))
        assert server.asked.total() == 30


def test_equal_prompts_are_asked_once() -> None:
    with serving() as server:
        found = list(model(server.url).describe(("dot", "dot")))
    assert server.asked.total() == 5
    assert [d.class_index for d in found] == [0] * 5 + [1] * 5
    assert all(map(good, found))


def test_answers_have_one_writer() -> None:
    with Answers.open(KEPT), serving() as server:
        with pytest.raises(TgrError, match=r"another process adds to kept\.jsonl"):
            described(server.url)
        assert server.asked.total() == 0


def test_an_interrupted_run_says_what_is_kept_and_goes_on() -> None:
    class Impatient(Heard):
        def progress(self, what: str, done: int, total: int, detail: str = "") -> None:
            if done == 6:
                os.kill(os.getpid(), signal.SIGINT)

    heard = Impatient()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs start with SIGINT ignored
    with serving(delay=0.02) as server:
        try:
            with pytest.raises(KeyboardInterrupt):
                described(server.url, heard, concurrency=2)
        finally:
            signal.signal(signal.SIGINT, before)
        assert heard.notes == ["the answers so far are kept in kept.jsonl: the same command goes on from there"]
        kept = len(KEPT.read_text().splitlines())
        assert 6 <= kept <= 8
        assert all(map(good, described(server.url)))
    assert server.asked.total() <= 15 + 2


def test_a_full_disk_is_told_and_what_was_kept_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    written, real = [], os.write

    def write(file: int, line: bytes) -> int:
        if b"sha256" in line and len(written) == 4:
            raise OSError(28, "No space left on device")
        written.extend([line] if b"sha256" in line else [])
        return real(file, line)

    with serving() as server:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write)
            with pytest.raises(TgrError, match=r"kept\.jsonl cannot be written \(No space left on device\)"):
                described(server.url, concurrency=1)
        assert len(KEPT.read_text().splitlines()) == 4
        assert all(map(good, described(server.url)))
    assert server.asked.total() == 16
