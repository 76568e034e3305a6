"""Descriptions from a language model: every question of every class, with each answer stored on arrival."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from tgr_cli.errors import TgrError
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.text.answers import Answers, question_key
from tgr_cli.text.endpoint import Endpoint
from tgr_cli.text.generators import Description, Generator
from tgr_cli.text.prompts import PromptSet
from tgr_cli.text.question import Question

INSTRUCTION = "Answer in one plain English sentence of at most 40 words, without any preface."
FAILED = "failed"
# Four characters per token is the usual estimate for English; the chat template adds some tokens.
LETTERS_PER_TOKEN, FRAME_TOKENS = 4, 8


@dataclass(frozen=True, kw_only=True)
class CostEstimate:
    """Upper bound of the requests, tokens and cost still to come (input tokens are estimated), and example prompts.

    `questions` counts all questions, `answered` those with a stored answer.
    """

    questions: int
    answered: int
    tokens_in: int
    tokens_out: int
    cost: float | None
    prompts: tuple[str, ...]

    @property
    def requests(self) -> int:
        return self.questions - self.answered


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Totals over all stored answers to these questions, including those of earlier runs.

    `cleaned` answers had non-text characters, `cut` ones were too long, `trimmed` ones had reasoning, markup or phrases
    around the description; `without_temperature` ones were sent without it, as the model rejects the parameter.
    """

    answers: int
    tokens_in: int
    tokens_out: int
    cost: float | None
    cleaned: int
    cut: int
    trimmed: int
    without_temperature: int


@final
class LanguageModel(Generator):
    """The model at `endpoint`, asked the prompt set's questions; answers are stored in the file `kept`."""

    name = "llm"

    def __init__(self, prompts: PromptSet, endpoint: Endpoint, kept: Path) -> None:
        super().__init__(prompts)
        if not prompts.questions:
            raise TgrError(f"{prompts.name}.toml holds no questions to ask; add some, or give --questions FILE")
        self.endpoint = endpoint
        self.kept = kept

    def questions(self, classes: Sequence[str]) -> list[Question]:
        """Return all questions, ordered by class, question and sample."""
        endpoint = self.endpoint
        found = []
        for index, name in enumerate(classes):
            for number, text in enumerate(self.prompts.questions):
                question = self.prompts.render(text, index, name)
                prompt = f"{question} {INSTRUCTION}"
                for sample in range(endpoint.samples_per_question):
                    key = question_key(
                        model=endpoint.model, prompt=prompt, sample=sample, temperature=endpoint.temperature
                    )
                    found.append(
                        Question(
                            class_index=index,
                            number=number,
                            sample=sample,
                            class_name=name,
                            question=question,
                            prompt=prompt,
                            key=key,
                        )
                    )
        return found

    def estimate(self, classes: Sequence[str]) -> CostEstimate:
        """Return the estimate for these classes, without contacting the server."""
        answers = Answers.read(self.kept)
        questions = self.questions(classes)
        open_ = {q.key: q for q in questions if not answers.settled(q.key, self.endpoint.max_tokens)}
        tokens_in = sum(FRAME_TOKENS + -(-len(q.prompt) // LETTERS_PER_TOKEN) for q in open_.values())
        tokens_out = len(open_) * self.endpoint.max_tokens
        distinct = {q.key for q in questions}
        return CostEstimate(
            questions=len(distinct),
            answered=len(distinct) - len(open_),
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            cost=self.endpoint.cost(tokens_in, tokens_out),
            prompts=tuple(dict.fromkeys(q.prompt for q in questions if q.class_index == 0)),
        )

    def usage(self, classes: Sequence[str]) -> Usage:
        """Return the totals of the stored answers for these classes."""
        answers = Answers.read(self.kept)
        given = [answer for key in {q.key for q in self.questions(classes)} for answer in answers.to(key)]
        tokens_in, tokens_out = sum(a.tokens_in for a in given), sum(a.tokens_out for a in given)
        return Usage(
            answers=len(given),
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            cost=self.endpoint.cost(tokens_in, tokens_out),
            cleaned=sum(a.removed > 0 for a in given),
            cut=sum(a.cut > 0 for a in given),
            trimmed=sum(a.trimmed > 0 for a in given),
            without_temperature=sum(not a.with_temperature for a in given),
        )

    def describe(self, classes: Sequence[str], reporter: Reporter = SILENT) -> Iterator[Description]:
        """Yield one description per question, in order, after all were asked; status is not "ok" where there is none.

        Raises TgrError where the server is unreachable or rejects the requests, or many questions in a row get no
        answer; answers received before are kept.
        """
        questions = self.questions(classes)
        with Answers.open(self.kept) as answers:
            if answers.damaged:
                reporter.note(
                    f"{answers.damaged} torn or damaged lines of {self.kept} are left out; what they answered is asked "
                    "again"
                )
            asking = {q.key: q for q in questions if not answers.settled(q.key, self.endpoint.max_tokens)}
            failed: dict[str, str] = {}
            if asking:
                key = self.endpoint.key()
                from tgr_cli.text.asking import ask_all  # slow to import, and not needed where a check refuses first

                try:
                    failed = ask_all(self.endpoint, key, list(asking.values()), answers, reporter)
                except KeyboardInterrupt:
                    reporter.note(f"the answers so far are kept in {self.kept}: the same command goes on from there")
                    raise
            if failed:
                example = next(q for q in questions if q.key in failed)
                reporter.note(
                    f"{len(failed)} questions got no answer, as that about {example.class_name} "
                    f"({failed[example.key]}); run the same command again to ask them once more"
                )
            for q in questions:
                last = answers.to(q.key)[-1] if answers.to(q.key) and q.key not in failed else None
                status = last.status if last else FAILED
                yield Description(
                    class_index=q.class_index,
                    number=q.number,
                    sample=q.sample,
                    class_name=q.class_name,
                    question=q.question,
                    text=last.text if last and status == "ok" else "",
                    status=status,
                    source=self.endpoint.model,
                )
