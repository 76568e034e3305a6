"""Concurrent requests: a few workers take questions in turn and store each answer before the next question."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence

from tgr_cli.errors import TgrError
from tgr_cli.reporting import Reporter
from tgr_cli.text.answer_cleaning import sentence
from tgr_cli.text.answers import RULES, Answer, Answers
from tgr_cli.text.client import Client
from tgr_cli.text.completion import Reply
from tgr_cli.text.endpoint import Endpoint
from tgr_cli.text.failures import NoAnswerError
from tgr_cli.text.fruitless import what_to_change
from tgr_cli.text.question import Question
from tgr_cli.text.sanitising import clean

GIVE_UP = 10  # failures in a row after which the server counts as down
NEVER_ANSWERED = 3  # the same if the server has never answered
# Consecutive questions without a description, if there was none before: more would be paid for in vain. Refusals may
# concern a single class, so their limit is higher.
FRUITLESS, REFUSED = 10, 50


def ask_all(
    endpoint: Endpoint, key: str, questions: Sequence[Question], answers: Answers, reporter: Reporter
) -> dict[str, str]:
    """Ask every question until it is settled; return the reasons of those that got no answer, by question key.

    Raises TgrError for errors that end the run: server unreachable, key or request rejected, GIVE_UP failures in a row.
    """
    asking = _Asking(endpoint, key, len(questions), answers, reporter)
    try:
        asyncio.run(asking.run(iter(questions)))
    except ExceptionGroup as group:  # all workers fail with the same error; raise the first
        told, others = group.split(TgrError)
        if told is None or others is not None:
            raise
        raise told.exceptions[0] from None
    return asking.failed


class _Asking:
    def __init__(self, endpoint: Endpoint, key: str, total: int, answers: Answers, reporter: Reporter) -> None:
        self.endpoint = endpoint
        self.key = key
        self.total = total
        self.answers = answers
        self.reporter = reporter
        self.failed: dict[str, str] = {}
        self.without: Counter[str] = Counter()  # number of questions without a description, by status
        self.described = answers.any_described
        self.done = self.in_a_row = self.tokens_in = self.tokens_out = 0

    async def run(self, questions: Iterator[Question]) -> None:
        async with Client(self.endpoint, self.key, self.reporter.note) as client, asyncio.TaskGroup() as workers:
            for _ in range(min(self.endpoint.concurrency, self.total)):
                workers.create_task(self.work(client, questions))

    async def work(self, client: Client, questions: Iterator[Question]) -> None:
        for question in questions:
            try:
                while not self.answers.settled(question.key, self.endpoint.max_tokens):
                    self.keep(question, await client.ask(question.prompt))
                self.in_a_row = 0
                self.refuse_fruitless(self.answers.to(question.key)[-1].status)
            except NoAnswerError as error:
                self.failed[question.key] = error.reason
                self.in_a_row += 1
                if self.in_a_row >= (GIVE_UP if client.answered or self.described else NEVER_ANSWERED):
                    raise TgrError(
                        f"{self.in_a_row} questions in a row got no answer from {self.endpoint.url} ({error.reason}); "
                        f"the answers before are kept in {self.answers.path}: run the same command again to go on"
                    ) from error
            self.done += 1
            self.reporter.progress("asking", self.done, self.total, self.so_far())

    def refuse_fruitless(self, status: str) -> None:
        """Raise TgrError if no description has been received after FRUITLESS (or REFUSED) questions."""
        if status == "ok":
            self.described = True
        else:
            self.without[status] += 1
        total = self.without.total()
        if not self.described and (total - self.without["refused"] >= FRUITLESS or total >= REFUSED):
            raise TgrError(
                f"{what_to_change(self.endpoint, self.without)}; no more was asked, and what was answered is kept in "
                f"{self.answers.path}"
            )

    def keep(self, question: Question, reply: Reply) -> None:
        found = sentence(reply.text, self.key)
        self.tokens_in += reply.tokens_in
        self.tokens_out += reply.tokens_out
        status = _status(reply, found.status)
        self.answers.add(
            Answer(
                key=question.key,
                status=status,
                text=found.text if status == "ok" else clean(reply.text, self.key).text,
                max_tokens=self.endpoint.max_tokens,
                tokens_in=reply.tokens_in,
                tokens_out=reply.tokens_out,
                removed=found.removed,
                cut=found.cut,
                trimmed=found.trimmed,
                with_temperature=reply.with_temperature,
                rules=RULES,
            )
        )

    def so_far(self) -> str:
        cost = self.endpoint.cost(self.tokens_in, self.tokens_out)
        tokens = f"{self.tokens_in + self.tokens_out:,} tokens"
        return tokens if cost is None else f"{tokens}, cost {cost:.2f}"


def _status(reply: Reply, status: str) -> str:
    """Return the status of a reply: from its finish reason first, then from its text's `status`."""
    if reply.refused:
        return "refused"
    if reply.finish == "length":
        return "truncated"
    if status == "empty" and reply.tool_call:
        return "unusable"
    return "thoughts" if status == "empty" and reply.thoughtful else status
