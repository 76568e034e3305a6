"""A language model asked about three classes through a server on loopback, and what its reporter hears."""

from pathlib import Path

from llm_server import Behaviour, answer_to

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
