"""A language model asked about three classes through a server on loopback, and what its reporter hears."""

import json
from pathlib import Path

from llm_server import Behaviour, Said, answer_to

from tgr_cli.reporting import Reporter
from tgr_cli.text import prompts
from tgr_cli.text.endpoint import Endpoint
from tgr_cli.text.generators import Description
from tgr_cli.text.llm import INSTRUCTION, LanguageModel

KEY = "sk-very-secret-0123456789"
CLASSES = ("dot", "bar", "ring")
KEPT = Path("kept.jsonl")


class Heard(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.last = (0, 0, "")

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, what: str, done: int, total: int, detail: str = "") -> None:
        self.last = (done, total, detail)


def model(url: str, **options: object) -> LanguageModel:
    return LanguageModel(prompts.load("general"), Endpoint(base_url=url, llm="toy", **options), KEPT)  # type: ignore[arg-type]


def described(url: str, reporter: Reporter | None = None, **options: object) -> list[Description]:
    return list(model(url, **options).describe(CLASSES, reporter or Heard()))


def good(d: Description) -> bool:
    return (d.status, d.text) == ("ok", answer_to(f"{d.question} {INSTRUCTION}"))


def once(what: str) -> Behaviour:
    return lambda prompt, times: "well" if times else what


def for_bars(what: str) -> Behaviour:
    return lambda prompt, times: what if "bar" in prompt else "well"


def events(*data: object, end: str = "data: [DONE]\n\n", line_end: str = "\n") -> Said:
    lines = [": keep-alive\n\n", *(f"data: {json.dumps(part)}\n\n" for part in data), end]
    return Said(body="".join(lines).replace("\n", line_end), headers={"Content-Type": "text/event-stream"})


def delta(finish: str | None = None, **more: object) -> dict:
    return {"choices": [{"index": 0, "delta": more, "finish_reason": finish}]}
