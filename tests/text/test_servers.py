"""Real-world servers, on loopback: other parameter names, other forms of answers, and answers that describe nothing."""

import json
import re

import pytest
from llm_server import Behaviour, Said, Server, answer_to, completion, serving
from toys_llm import CLASSES, KEPT, Heard, delta, described, events, for_bars, good, model

from tgr_cli.errors import TgrError
from tgr_cli.text.answers import Answer, Answers
from tgr_cli.text.llm import INSTRUCTION

SENTENCE = "A plain thing with clear edges."


def with_content(content: object, finish: str = "stop", **more: object) -> Said:
    return Said(body=completion(content, finish, **more))


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
