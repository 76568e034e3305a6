"""Kill trainings with SIGKILL, resume each, and compare the result with an uninterrupted training.

    python kills.py [--over-older] EVERY RANDOM TRAIN_OPTIONS…

A training is killed at every EVERY-th file system change (rename, removal or creation of a file or folder), and at
RANDOM random times. Each one starts in an empty folder, and its `--resume` must give the bytes of the uninterrupted
training. With `--over-older` each one starts in a folder with a finished run of other options, which must stay complete
until the new run replaces it; a training killed before its first checkpoint starts anew. Run records may differ, and so
may `last.pt`, which contains times. Processes are forked, so that the libraries are imported only once.
"""

import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet  # noqa: F401
from torchvision.transforms import v2  # noqa: F401

import tgr_cli.app
from tgr_cli.models import card, weights, zoo
from tgr_cli.steps import train  # noqa: F401 - imported once for all processes

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir"}


def fork(run: Callable[[], object], kill_after: float = 0.0) -> int:
    """Return the exit status of `run` in a forked process, as in `os.waitpid`; SIGKILL after `kill_after` seconds."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        code = 1
        try:
            code = int(run() or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    killer = threading.Timer(kill_after, os.kill, (child, signal.SIGKILL))
    if kill_after:
        killer.start()
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # keep the pid reserved until the timer is stopped
    if kill_after:
        killer.cancel()
        killer.join()
    return os.waitpid(child, 0)[1]


def tgr(folder: Path, *options: str, kill_at: int = 0, kill_after: float = 0.0) -> int:
    """Run `tgr train` in `folder`; SIGKILL it at the N-th file system change, or after a time in seconds."""

    def run() -> int:
        os.chdir(folder)
        seen = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal seen
            if event in CHANGES and "toy" in str(arguments[0]) + str(Path.cwd()):
                seen += 1
                if seen == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        sys.argv = ["tgr", "train", *options, "-q"]
        for number in (1, 2):
            os.dup2(os.open(folder / ("out", "err")[number - 1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        try:
            tgr_cli.app.main()
        except SystemExit as left:
            (folder / "changes").write_text(str(seen))
            return int(left.code or 0)
        return 0

    return fork(run, kill_after)


def content(run: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a run that must be equal in equal trainings, and the other files' names."""
    apart = ("last.pt", "training.run.json", "model.run.json")
    return {
        path.name: "" if path.name in apart or path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in run.iterdir()
    }


def whole(run: Path, name: str) -> bool:
    """Return whether the folder's card and weights belong together."""
    model = zoo.build(name, 10)
    weights.load(model, weights.read_state_dict(run / "model.safetensors"))
    return weights.fingerprint(model) == card.ModelCard.read(run / "model.json").fingerprint


def main(over_older: bool, every: int, at_random: int, *options: str) -> int:
    """Return how many killed trainings did not give the bytes of the uninterrupted one."""
    name = options[options.index("--model") + 1]
    relative = Path("runs/digits") / f"{name}-baseline"
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="toy-") as made:
        base = Path(made)
        beginning, whole_run = base / "beginning", base / "whole"
        beginning.mkdir()
        if over_older:
            assert tgr(beginning, *options, "--lr", "0.01") == 0, (beginning / "err").read_text()
        before = content(beginning / relative) if over_older else {}
        shutil.copytree(beginning, whole_run)
        began = time.perf_counter()
        assert tgr(whole_run, *options) == 0, (whole_run / "err").read_text()
        seconds, moments = time.perf_counter() - began, int((whole_run / "changes").read_text())
        expected = content(whole_run / relative)

        drawn = random.Random(0)
        kills = [{"kill_at": moment} for moment in range(1, moments + 1, every)]
        kills += [{"kill_after": drawn.uniform(0.05, seconds)} for _ in range(at_random)]
        killed = begun_anew = bad = 0
        for number, kill in enumerate(kills):
            folder = shutil.copytree(beginning, base / f"at{number}")
            killed += os.WIFSIGNALED(tgr(folder, *options, **kill))
            resumed = tgr(folder, *options, "--resume")
            if resumed and before:  # --resume finds only the older run: it must be refused and leave that unchanged
                found = content(folder / relative)
                assert all(found.get(file) == before[file] for file in before), kill
                assert whole(folder / relative, name), kill
                begun_anew += 1
                resumed = tgr(folder, *options)
            if resumed or content(folder / relative) != expected:
                bad += 1
                sys.stdout.write(f"{kill}: {(folder / 'err').read_text()}{sorted(content(folder / relative))}\n")
            shutil.rmtree(folder)
    sys.stdout.write(
        f"{len(kills)} trainings, {killed} killed ({moments} moments of change, {at_random} at random), {begun_anew} "
        f"begun anew beside a whole older run, {bad} did not end in the undisturbed bytes; "
        f"{time.perf_counter() - started:.0f} s\n"
    )
    return bad


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--over-older"]
    every, at_random, *options = arguments
    sys.exit(min(1, main("--over-older" in sys.argv, int(every), int(at_random), *options)))
