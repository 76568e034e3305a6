"""What Slurm answers, in words."""

from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tgr_cli.errors import TgrError
from tgr_cli.reporting import Reporter
from tgr_cli.submit import slurm
from tgr_cli.submit.division import Division


class Heard(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.parametrize(("reason", "told"), [("PartitionConfig", 1), ("JobHeldUser", 1), ("Resources", 0)])
def test_a_job_that_never_starts_is_told_once(reason: str, told: int, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard()
    runner = slurm.Slurm(Path("x.sh"), str, heard)
    monkeypatch.setattr(slurm, "_run", lambda *words: CompletedProcess(words, 0, f"x-shard|1|PENDING|{reason}\n", ""))
    shards = Division((), Path("x.shards"), 1).shards
    assert runner.alive(shards) == runner.alive(shards) == {1: "pending"}
    assert len(heard.said) == told
    if told:
        assert heard.said[0].startswith(f"shard 1/1 waits in the queue: {reason}; release it with scontrol, or end it")


def test_an_array_that_is_too_large_names_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "sbatch: error: Batch job submission failed: Invalid job array specification"
    monkeypatch.setattr(slurm, "_run", lambda *words: CompletedProcess(words, 1, "", said))
    runner = slurm.Slurm(Path("x.sh"), str, Heard())
    with pytest.raises(TgrError, match=r"^sbatch refuses 2,000 shards: .*, with fewer --shards than MaxArraySize in "):
        runner.start(Division((), Path("x.shards"), 2000).shards)


def test_nothing_is_taken_for_ended_while_the_controller_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(1, ""), (0, "x-shard|1|RUNNING|None\n"), (1, ""), (0, "7"), (1, "")]
    monkeypatch.setattr(slurm, "_run", lambda *words: CompletedProcess(words, *answers.pop(0), "busy"))
    monkeypatch.setattr(slurm.Slurm, "pause", 0)
    runner, division = slurm.Slurm(Path("x.sh"), str, Heard()), Division((), Path("x.shards"), 2)
    assert division.plan_task is not None
    assert runner.alive([division.plan_task]) == {}
    assert runner.alive(division.shards) == {1: "running"}
    runner.start(division.shards[1:])
    assert runner.alive(division.shards) == {1: "running", 2: "pending"}
    assert not answers
