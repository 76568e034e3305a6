"""A campaign divided into tasks: the command line of its plan and of each shard, and where each leaves its file."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tgr_cli.artifacts.layout import parts_beside

LONGEST = 160  # characters of a log's line in a message


@dataclass(frozen=True)
class Task:
    """One command line of tgr, as words without the program's name.

    It is finished once `output` exists and its process has ended. `number` is that of a shard, from 1; 0 is the plan.
    """

    number: int
    label: str
    words: tuple[str, ...]
    output: Path
    log: Path

    @property
    def held(self) -> Path:
        """Return the path of the file that a process of this machine keeps locked while it runs the task."""
        return self.log.with_suffix(".running")

    @property
    def parts(self) -> Path:
        """Return the folder of the parts that are finished so far."""
        return parts_beside(self.output)

    def finished_units(self) -> int:
        """Return how many units of the shard are stored so far, while it is not finished."""
        return len(list(self.parts.glob("unit-*.parquet")))

    def failure(self) -> str | None:
        """Return the sentence with which tgr ended in an error, None if it did not, or was killed.

        An error of tgr's would come again; a killed task goes on where it was. A log that is older than the output is
        of an earlier start. One that is younger tells of an output that failed its verification.
        """
        if self.output.exists() and self.log.exists() and self.log.stat().st_mtime_ns < self.output.stat().st_mtime_ns:
            return None
        last = self.last_line()
        return last.removeprefix("tgr: ") if last.startswith("tgr: ") and "interrupted;" not in last else None

    def last_line(self) -> str:
        """Return the last line of the task's log; "" if there is none."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def last_words(self) -> str:
        """Return the last line of the task's log as a clause of a sentence, cut if it is long; "" if there is none."""
        last = self.last_line()
        return f" (the last line of its log: {last[:LONGEST]}{'…' * (len(last) > LONGEST)})" if last else ""


@dataclass(frozen=True)
class Division:
    """A campaign in `count` shards, with their files in `folder`.

    `options` are those of `tgr inject`, each with its value. `plan` is a stored plan that the user named. A campaign of
    `listed` faults needs no plan: each shard reads the list. `unplanned` are options that the plan has no use for.
    """

    options: tuple[tuple[str, ...], ...]
    folder: Path
    count: int
    plan: Path | None = None
    listed: bool = False
    unplanned: frozenset[str] = frozenset()

    @property
    def plan_path(self) -> Path:
        return self.plan or self.folder / "plan.parquet"

    @property
    def plan_task(self) -> Task | None:
        """Return the task that draws the plan; None where the campaign names its plan or lists its faults."""
        if self.plan or self.listed:
            return None
        unset = ("--verify", "0") if "--verify" in self.unplanned else ()  # a variable or tgr.toml may set it
        words = self._inject(without=self.unplanned, more=(*unset, "--plan-only", "--out", str(self.plan_path)))
        return Task(0, "the plan", words, self.plan_path, self.folder / "plan.log")

    @property
    def shards(self) -> list[Task]:
        """Return the tasks that run the shards."""
        return [
            Task(
                number,
                f"shard {number}/{self.count}",
                self.shard_words(str(number)),
                self.shard_path(str(number)),
                self.folder / f"shard-{number}.log",
            )
            for number in range(1, self.count + 1)
        ]

    def shard_words(self, number: str) -> tuple[str, ...]:
        """Return the words that run a shard; `number` may be a placeholder for a script."""
        plan = () if self.plan or self.listed else ("--plan", str(self.plan_path))
        more = (*plan, "--shard", f"{number}/{self.count}", "--out", str(self.shard_path(number)))
        return self._inject(without=frozenset(), more=more)

    def shard_path(self, number: str) -> Path:
        return self.folder / f"shard-{number}-of-{self.count}.parquet"

    def _inject(self, *, without: frozenset[str], more: Sequence[str]) -> tuple[str, ...]:
        kept = (words for words in self.options if words[0] not in without | {"--out"})
        return ("inject", *chain.from_iterable(kept), *more)
