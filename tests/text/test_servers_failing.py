"""Real-world servers, on loopback: errors in any place, busy ones, wrong names and addresses, none at all."""

import re

import httpx
import pytest
from llm_server import Said, serving
from toys_llm import KEY, Heard, delta, described, events, good

from tgr_cli.errors import TgrError
from tgr_cli.text.endpoint import Endpoint
from tgr_cli.text.failures import unreached


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    "said",
    [
        Said(200, {"error": {"message": "the cat sleeps", "code": 502}}),
        Said(200, {"choices": [{"message": {"content": "A pl"}, "finish_reason": "error", "error": "the cat sleeps"}]}),
        events(delta(content="A pl"), {"error": {"message": "the cat sleeps"}}, end=""),
        Said(500, {"object": "error", "message": "the cat sleeps"}),
        Said(500, {"statusCode": 500, "error": "Internal", "message": "the cat sleeps"}),
        Said(503, {"detail": "the cat sleeps"}),
        Said(500, {"detail": [{"loc": ["body"], "msg": "the cat sleeps"}]}),
        Said(500, {"errors": ["the cat sleeps"]}),
        Said(500, [{"error": {"message": "the cat sleeps", "status": "INTERNAL"}}]),
        Said(
            502, {"error": {"message": "Provider returned error", "metadata": {"raw": '{"error": "the cat sleeps"}'}}}
        ),
        Said(502, "<html><head><title>the cat sleeps</title></head><body><hr>nginx</body></html>"),
        Said(500, "the cat sleeps"),
        Said(500, "", {"X-Error-Message": "the cat sleeps"}),
    ],
)
def test_an_error_told_in_any_usual_place_is_passed_on_while_it_is_waited_for(said: Said) -> None:
    heard = Heard()
    with serving(lambda prompt, times: "well" if times else said) as server:
        assert all(map(good, described(server.url, heard)))
        assert server.asked.total() == 30
    assert re.match(
        rf"127\.0\.0\.1:{server.port}: .*the cat sleeps.*; asked again in 1 s \(1 of 8 tries so far\)", heard.notes[0]
    )
    assert len(heard.notes) == 1


@pytest.mark.parametrize(
    "said",
    [
        Said(429, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}),
        Said(200, {"error": {"message": "Rate limit exceeded: free-models-per-day", "code": 429}}),
        Said(402, {"error": {"message": "Insufficient Balance"}}),
        Said(429, "Add 10 credits to go on"),
    ],
)
def test_what_waiting_does_not_mend_is_not_waited_for(said: Said) -> None:
    with (
        serving(said) as server,
        pytest.raises(TgrError, match=r"the account or quota of this key at .* is used up .*check the account"),
    ):
        described(server.url)
    assert server.asked.total() == 1


@pytest.mark.usefixtures("_impatient")
def test_a_server_that_is_always_busy_is_given_up_in_its_own_words() -> None:
    words = r"3 questions in a row got no answer .*HTTP 429: the queue is full"
    busy = Said(429, {"error": {"message": "the queue is full"}})
    with serving(busy) as server, pytest.raises(TgrError, match=words):
        described(server.url, concurrency=1)
    assert server.asked.total() == 24


@pytest.mark.parametrize(
    "said", [Said(429, {"error": {"message": "Please try again in 1s."}}), Said(503, "", {"Retry-After": "1"})]
)
def test_the_wait_is_the_one_that_the_server_names(said: Said) -> None:
    heard = Heard()
    with serving(lambda prompt, times: said if "bar" in prompt and not times else "well") as server:
        assert all(map(good, described(server.url, heard, concurrency=15)))
    for bar in {prompt for prompt in server.asked if "bar" in prompt}:
        first, second = (moment for moment, prompt in server.arrivals if prompt == bar)
        assert second - first >= 0.99
    assert "busy: HTTP " in heard.notes[0]


@pytest.mark.parametrize(
    ("path", "models", "words"),
    [
        (
            "/v1",
            ("toys", "other"),
            'has no model "toy" (HTTP 404: no such model); name one that it has with --llm: toys, ',
        ),
        ("", ("toy",), "but http://127.0.0.1:PORT/v1 is: give --base-url http://127.0.0.1:PORT/v1"),
        ("/v1", (), 'has no model "toy" or no such address (HTTP 404: no such model); check --llm and --base-url'),
    ],
)
def test_a_wrong_name_or_address_is_told_with_the_right_one(path: str, models: tuple[str, ...], words: str) -> None:
    with serving(Said(404, {"error": {"message": "no such model"}})) as server:
        server.models = models
        with pytest.raises(TgrError) as caught:
            described(f"http://127.0.0.1:{server.port}{path}")
    assert words.replace("PORT", str(server.port)) in str(caught.value)
    assert ('Did you mean "toys"?' in str(caught.value)) == ("toys" in models)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://x/v1/chat/completions", "http://x/v1"),
        ("http://x/v1/chat/completions/", "http://x/v1"),
        ("http://x/v1/models", "http://x/v1"),
        ("http://x:1/api/chat", "http://x:1/v1"),
    ],
)
def test_the_address_of_an_operation_is_told_with_the_base(url: str, base: str) -> None:
    with pytest.raises(TgrError, match=f"is the address of one operation, .*; give {re.escape(base)}$"):
        Endpoint(base_url=url, llm="toy")


@pytest.mark.usefixtures("_impatient")
def test_a_web_page_is_told_after_three_questions() -> None:
    page = Said(200, "<!DOCTYPE html><html><title>Welcome</title></html>")
    words = r'a web page \("Welcome"\) instead of a chat completion; --base-url ends in'
    with serving(page) as server, pytest.raises(TgrError, match=words):
        described(server.url, concurrency=1)
    assert server.asked.total() == 9


def test_a_name_that_no_machine_has_is_told() -> None:
    with pytest.raises(TgrError, match=r'no machine is known by the name "no-such-host\.invalid" .*; check --base-url'):
        described("http://no-such-host.invalid/v1")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] wrong version number"),
            "h:1 does not speak https (told)",
        ),
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), "the certificate of h is not trusted on"),
        (httpx.ProxyError("403 Forbidden"), "the proxy for https://h:1/v1 refuses the connection (told)"),
        (httpx.ConnectTimeout(""), "nothing answers at https://h:1/v1 (told); start the server, or name another"),
    ],
)
def test_no_way_to_a_server_is_told_with_what_to_do(error: httpx.TransportError, words: str) -> None:
    assert str(unreached(Endpoint(base_url="https://h:1/v1", llm="toy"), error, "told")).startswith(words)


@pytest.mark.usefixtures("_impatient")
def test_a_server_s_words_are_bounded_printable_and_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TGR_LLM_API_KEY", KEY)
    heard = Heard()
    said = Said(500, f'{{"detail": "\x1b[2J{KEY} {"long " * 999}"}}')
    with serving(lambda prompt, times: "well" if times else said) as server:
        described(server.url, heard)
    assert "[key] long long" in heard.notes[0]
    assert KEY not in heard.notes[0]
    assert len(heard.notes[0]) < 400
    assert heard.notes[0].isprintable()
