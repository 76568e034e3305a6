"""Real-world servers, on loopback: other parameter names and formats, errors in any place, busy ones, wrong URLs."""

import json
import re

import httpx
import pytest
from llm_server import Behaviour, Said, Server, answer_to, completion, serving

from tgr_cli.errors import TgrError
from tgr_cli.text.answers import Answer, Answers
from tgr_cli.text.endpoint import Endpoint
from tgr_cli.text.failures import unreached
from tgr_cli.text.llm import INSTRUCTION

from .test_llm import CLASSES, KEPT, KEY, Heard, described, for_bars, good, model

SENTENCE = "A plain thing with clear edges."


def with_content(content: object, finish: str = "stop", **more: object) -> Said:
    return Said(body=completion(content, finish, **more))


def events(*data: object, end: str = "data: [DONE]\n\n", line_end: str = "\n") -> Said:
    lines = [": keep-alive\n\n", *(f"data: {json.dumps(part)}\n\n" for part in data), end]
    return Said(body="".join(lines).replace("\n", line_end), headers={"Content-Type": "text/event-stream"})


def delta(finish: str | None = None, **more: object) -> dict:
    return {"choices": [{"index": 0, "delta": more, "finish_reason": finish}]}


def refusing(server: Server, *names: str, status: int = 400, form: str = "openai") -> Behaviour:
    """Return a server that rejects these parameters with the messages of OpenAI or FastAPI."""

    def behave(prompt: str, times: int) -> str | Said:
        sent = server.requests[-1][1]
        name = next((name for name in names if name in sent), None)
        if name is None:
            return "well"
        if form == "fastapi":
            return Said(422, {"detail": [{"loc": ["body", name], "msg": "Extra inputs are not permitted"}]})
        return Said(status, {"error": {"message": f"Unsupported parameter: '{name}'.", "param": name}})

    return behave


@pytest.mark.parametrize("form", ["openai", "fastapi"])
@pytest.mark.parametrize(
    ("names", "sent"),
    [
        (("max_tokens",), {"max_completion_tokens": 256, "temperature": 1.0}),
        (("temperature",), {"max_tokens": 256}),
        (("temperature", "max_tokens"), {"max_completion_tokens": 256}),
    ],
)
def test_what_a_server_does_not_take_is_found_out_by_asking_once(names: tuple[str, ...], sent: dict, form: str) -> None:
    heard = Heard()
    with serving() as server:
        server.behaviour = refusing(server, *names, form=form)
        toy = model(server.url)
        found = list(toy.describe(CLASSES, heard))
    assert all(map(good, found))
    assert server.asked.total() == 15 + len(names)
    assert {**server.requests[-1][1], "messages": 0} == {"model": "toy", "messages": 0, **sent}
    assert len(heard.notes) == len(names)
    assert all(note.startswith("toy is asked with") and "as with --" in note for note in heard.notes)
    assert toy.usage(CLASSES).without_temperature == (15 if "temperature" in names else 0)


@pytest.mark.parametrize(
    ("options", "names", "words"),
    [
        ({"temperature": 0.2}, ("temperature",), "it was asked with --temperature 0.2: take another one, or none"),
        ({"max_tokens_name": "max_tokens"}, ("max_tokens",), "take another --max-tokens-name"),
        ({}, ("max_tokens", "max_completion_tokens"), "take another --max-tokens-name"),
    ],
)
def test_what_the_user_chose_is_not_replaced(options: dict, names: tuple[str, ...], words: str) -> None:
    with serving() as server:
        server.behaviour = refusing(server, *names)
        with pytest.raises(TgrError, match=re.escape(words)):
            described(server.url, **options)
    assert server.asked.total() <= 2


def test_no_temperature_is_another_question_and_is_not_sent() -> None:
    with serving() as server:
        described(server.url, max_tokens_name="max_completion_tokens", temperature=None)
        described(server.url)
    assert server.asked.total() == 30
    first = server.requests[0][1]
    assert "temperature" not in first
    assert first["max_completion_tokens"] == 256


@pytest.mark.parametrize(
    "said",
    [
        with_content(
            [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": SENTENCE}]
        ),
        with_content(
            [{"type": "output_text", "text": "A plain thing "}, {"type": "text", "text": "with clear edges."}]
        ),
        with_content(["A plain thing ", {"text": "with clear edges."}, {"type": "reasoning", "text": "hm"}]),
        with_content({"type": "text", "text": {"value": SENTENCE}}),
        with_content(SENTENCE, "eos", reasoning_content="hm"),
        events(delta(role="assistant"), delta(content="A plain thing "), delta("stop", content="with clear edges.")),
        events(delta(reasoning_content="hm"), delta(content=SENTENCE), delta("stop"), {"choices": [], "usage": {}}),
        events(delta(content=[{"type": "text", "text": SENTENCE}]), delta("stop"), end="", line_end="\r\n"),
        Said(body={"choices": [{"text": SENTENCE, "finish_reason": "stop"}]}),
    ],
)
def test_an_answer_in_any_usual_form_is_read(said: Said) -> None:
    with serving(said) as server:
        assert {(d.status, d.text) for d in described(server.url)} == {("ok", SENTENCE)}
    assert server.asked.total() == 15


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (with_content("", reasoning_content=SENTENCE), "thoughts"),
        (with_content(None, reasoning=SENTENCE), "thoughts"),
        (with_content([{"type": "thinking", "thinking": SENTENCE}]), "thoughts"),
        (with_content(None, "length", reasoning_content="hm"), "truncated"),
        (with_content(SENTENCE, "max_tokens"), "truncated"),
        (with_content(SENTENCE, "SAFETY"), "refused"),
        (with_content([{"type": "refusal", "refusal": "No."}]), "refused"),
        (with_content("I'm sorry, but I can't help with that."), "refused"),
        (with_content(None, "tool_calls", tool_calls=[{"type": "function"}]), "unusable"),
        (events(delta(reasoning="hm"), delta("stop")), "thoughts"),
        (events(delta(content="A plain"), delta("length")), "truncated"),
    ],
)
def test_what_is_no_description_has_a_status_that_says_why(said: Said, status: str) -> None:
    with serving(lambda prompt, times: said if "bar" in prompt else "well") as server:
        found = described(server.url)
    assert {(d.status, d.text) for d in found if d.class_name == "bar"} == {(status, "")}
    assert {n for prompt, n in server.asked.items() if "bar" in prompt} == {3}
    assert all(good(d) for d in found if d.class_name != "bar")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            with_content("", reasoning_content=SENTENCE),
            "thoughts alone (10); turn the model's thinking off at its server",
        ),
        (with_content("A", "length"), "cut short by --max-tokens (10); raise --max-tokens (now 256)"),
        (
            with_content("```python\nprint(0)\n```"),
            "code, data or a call of a tool, and no sentence (10); ask otherwise",
        ),
    ],
)
def test_a_run_that_describes_nothing_stops_early_and_says_what_to_change(said: Said, words: str) -> None:
    with serving(said) as server, pytest.raises(TgrError) as caught:
        described(server.url, concurrency=1)
    assert str(caught.value).startswith("none of 10 questions has a description: the answers hold ")
    assert words in str(caught.value)
    assert server.asked.total() == 30
    assert len(KEPT.read_text().splitlines()) == 30


def test_refusals_of_the_first_classes_do_not_stop_the_rest() -> None:
    no = with_content("I can't help with that.")
    with serving(lambda prompt, times: "well" if "ring" in prompt else no) as server:
        found = described(server.url)
        KEPT.unlink()
        server.behaviour = lambda prompt, times: no
        with pytest.raises(TgrError, match=r"hold a refusal \(50\); ask otherwise with --questions"):
            described(server.url, samples_per_question=9, concurrency=1)
    assert [d.status for d in found] == ["refused"] * 10 + ["ok"] * 5


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


def test_an_answer_kept_by_an_earlier_version_is_read_by_today_s_rules() -> None:
    with serving(for_bars("thinking")) as server:
        toy = model(server.url)
        described(server.url)
        lines = [json.loads(line)["answer"] for line in KEPT.read_text().splitlines()]
        KEPT.unlink()
        with Answers.open(KEPT) as answers:
            for line in lines:
                thought = f"Okay, hm. </think> {line['text']}"
                text = "I'm sorry, but I can't." if line is lines[0] else thought
                answers.add(Answer(key=line["key"], status="ok", text=text, max_tokens=256))
        found = list(toy.describe(CLASSES))
    assert all(map(good, found))
    assert server.asked.total() == 16
    assert answer_to(f"{found[0].question} {INSTRUCTION}") == found[0].text
