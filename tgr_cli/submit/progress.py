"""Progress of a divided campaign, from the files that its tasks have written so far."""

from collections.abc import Mapping

from tgr_cli.campaign import stored_plan
from tgr_cli.reporting import Reporter
from tgr_cli.submit.division import Division, Task


class Progress:
    """Reports how many units are finished, or shards where there is no plan to count the units of."""

    def __init__(self, division: Division, reporter: Reporter) -> None:
        self._division, self._reporter = division, reporter
        self._units_S: list[int] = []  # of each shard

    def begin(self) -> None:
        """Read how many units each shard has from the plan, if there is one."""
        path = self._division.plan_path
        if path.exists():
            self._units_S = stored_plan.units_of_shards(path, self._division.count)

    def of_plan(self, left: Mapping[int, Task], states: Mapping[str, int]) -> None:
        self._reporter.progress("drawing the plan", 1 - len(left), 1, _in_words(states))

    def of_shards(self, left: Mapping[int, Task], states: Mapping[str, int]) -> None:
        count = self._division.count
        finished = count - len(left)
        detail = ", ".join(filter(None, (f"{finished:,} of {count:,} shards", _in_words(states))))
        if not self._units_S:
            self._reporter.progress("injecting", finished, count, detail)
            return
        done = sum(self._units_S) - sum(self._units_S[number - 1] for number in left)
        done += sum(task.finished_units() for task in left.values())
        self._reporter.progress("injecting", done, sum(self._units_S), detail)


def _in_words(states: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {state}" for state, number in sorted(states.items()))
