"""The client against a real server on loopback whose answers are good, malformed, late, too large, or missing."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from unittest.mock import ANY

import httpx
import pytest
from llm_server import serving
from toys_llm import CLASSES, KEPT, Heard, described, for_bars, good, model, once

from tgr_cli.errors import TgrError
from tgr_cli.text import waits


def test_each_question_is_asked_once_and_answered_in_order() -> None:
    heard = Heard()
    with serving() as server:
        found = described(server.url, heard, price_in=1.0, price_out=100.0)
    assert all(map(good, found))
    assert [(d.class_index, d.number, d.sample) for d in found] == [(c, n, 0) for c in range(3) for n in range(5)]
    assert found[5].question == "Describe what a bar looks like in a photo."
    assert {d.source for d in found} == {"toy"}
    assert set(server.asked.values()) == {1}
    headers, content = server.requests[0]
    assert content == {
        "model": "toy",
        "messages": [{"role": "user", "content": ANY}],
        "temperature": 1.0,
        "max_tokens": 256,
    }
    assert "authorization" not in headers
    assert heard.last == (15, 15, "600 tokens, cost 0.02")
    assert heard.notes == []


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    "what",
    [
        *("429 0", "408", "500", "503", "drop", "malformed", "html", "nested"),
        *("empty", "truncated", "refused", "filtered", "redirect", "huge", "endless"),
    ],
)
def test_what_goes_wrong_once_is_asked_again(what: str) -> None:
    with serving(once(what)) as server:
        found = described(server.url, timeout=1.0 if what == "endless" else 60.0)
    assert all(map(good, found))
    assert set(server.asked.values()) == {2}
    assert server.elsewhere == 0


@pytest.mark.parametrize("what", ["slow", "escapes", "thinking"])
def test_what_is_late_or_ill_dressed_is_taken_at_once(what: str) -> None:
    with serving(what) as server:
        toy = model(server.url)
        found = list(toy.describe(CLASSES))
    assert all(map(good, found))
    assert set(server.asked.values()) == {1}
    assert toy.usage(CLASSES).cleaned == (15 if what == "escapes" else 0)


def test_an_answer_that_is_too_long_is_cut_and_counted() -> None:
    with serving("long") as server:
        toy = model(server.url)
        found = list(toy.describe(CLASSES))
    assert {(d.status, len(d.text)) for d in found} == {("ok", 3999)}
    assert toy.usage(CLASSES).cut == 15


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("what", "status", "asked"),
    [
        ("empty", "empty", 3),
        ("truncated", "truncated", 3),
        ("refused", "refused", 3),
        ("filtered", "refused", 3),
        ("malformed", "failed", 3),
        ("huge", "failed", 3),
        ("redirect", "failed", 3),
        ("500", "failed", 8),
        ("202", "failed", 3),
        ("429 301", "failed", 1),
        ("429 99999999", "failed", 1),
    ],
)
def test_what_goes_wrong_always_is_recorded_as_such_and_told(what: str, status: str, asked: int) -> None:
    heard = Heard()
    with serving(for_bars(what)) as server:
        found = described(server.url, heard)
        bars = [d for d in found if d.class_name == "bar"]
        assert all(good(d) for d in found if d not in bars)
        assert {(d.status, d.text) for d in bars} == {(status, "")}
        assert {n for prompt, n in server.asked.items() if "bar" in prompt} == {asked}
        before = server.asked.total()
        again = described(server.url)
    # Recorded questions are not asked again; unanswered ones are, in the next run.
    assert again == found
    assert server.asked.total() - before == (5 * asked if status == "failed" else 0)
    told = [note for note in heard.notes if "5 questions got no answer, as that about bar (" in note]
    assert len(told) == (status == "failed")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "does not take the request (HTTP 400: no way way"),
        (401, "wants a key (HTTP 401: no way"),
        (403, "does not allow this (HTTP 403: no way way way way way"),
        (404, 'has no model "toy" or no such address (HTTP 404'),
        (402, "is used up (HTTP 402: no way way"),
        (422, "check --llm, --temperature and --max-tokens"),
    ],
)
def test_what_no_other_try_would_mend_stops_the_run_in_a_sentence(status: int, words: str) -> None:
    with serving(str(status)) as server, pytest.raises(TgrError) as caught:
        described(server.url, concurrency=2)
    assert words in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert server.asked.total() == 1
    assert not KEPT.exists()


@pytest.mark.usefixtures("_impatient")
def test_a_server_that_is_down_stops_the_run_and_the_answers_before_are_kept() -> None:
    with serving(lambda prompt, times: "500" if "bar" in prompt or "ring" in prompt else "well") as server:
        with pytest.raises(
            TgrError, match=r"10 questions in a row got no answer .*HTTP 500.*run the same command again"
        ):
            described(server.url, concurrency=1)
        assert len(KEPT.read_text().splitlines()) == 5
        server.behaviour = lambda prompt, times: "well"
        assert all(map(good, described(server.url)))
    assert {n for prompt, n in server.asked.items() if "dot" in prompt} == {1}


def test_no_server_is_told_at_once() -> None:
    with serving() as server:
        url = server.url
    with pytest.raises(TgrError, match=rf"nothing answers at {url} \(.*\); start the server, or name another"):
        described(url)
    assert not list(Path().iterdir())


def test_the_server_counts_no_more_requests_at_once_than_allowed() -> None:
    with serving(delay=0.2) as server:
        assert all(map(good, described(server.url, concurrency=4)))
    assert server.most_at_once == 4


def test_the_server_counts_no_more_requests_a_minute_than_allowed() -> None:
    with serving() as server:
        described(server.url, concurrency=15, requests_per_minute=1200)
    arrived = [moment for moment, _ in server.arrivals]
    # 15 requests are 14 intervals of 1/20 s; a tolerance of 1/5 allows for a late first one.
    assert arrived[-1] - arrived[0] > 0.8 * 14 / 20
    assert server.most_at_once < 15


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(form: str) -> None:
    def busy(prompt: str, times: int) -> str:
        if times or "bar" not in prompt:
            return "well"
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        return "429 1" if form == "seconds" else f"429 {later}"

    with serving(busy) as server:
        assert all(map(good, described(server.url, concurrency=15)))
    for bar in {prompt for prompt in server.asked if "bar" in prompt}:
        first, second = (moment for moment, prompt in server.arrivals if prompt == bar)
        assert second - first >= 0.99  # dates have a resolution of a second: of two seconds at least one is left


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("99999999", 99999999.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
        ("²", None),
    ],
)
def test_retry_after_in_any_form(header: str, seconds: float | None) -> None:
    assert waits.wait_for("", httpx.Headers({"Retry-After": header.encode()})) == seconds
