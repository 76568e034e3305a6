"""Kill trainings with SIGKILL, resume each, and compare what it leaves with an undisturbed training.

    python kills.py EVERY RANDOM MODEL_OPTIONS…

A training is killed at every EVERY-th moment at which it changes a name in a folder (the rename, removal or creation
of a file or folder), and at RANDOM random moments. Each begins in a folder that holds a finished run of other options,
which must be whole until the new one replaces it. Run records and `last.pt`, which holds times, may differ. Processes
are forked so that the libraries are imported once.
"""

import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet  # noqa: F401
import sklearn.datasets  # noqa: F401
from torchvision.transforms import v2  # noqa: F401

import tgr_cli.app
from tgr_cli.models import card, weights, zoo
from tgr_cli.steps import train  # noqa: F401 - imported once for all processes

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir"}


def fork(run: Callable[[], object]) -> int:
    """Return the exit status of `run` in a process of its own, as `os.waitpid` gives it."""
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
    return os.waitpid(child, 0)[1]


def tgr(folder: Path, *options: str, kill_at: int = 0, kill_after: float = 0.0) -> int:
    """Run `tgr train` in `folder`; SIGKILL it at the N-th change of a name, or after so many seconds."""

    def run() -> int:
        os.chdir(folder)
        seen = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal seen
            if event in CHANGES and "toy" in str(arguments[0]) + str(Path.cwd()):
                seen += 1
                (seen == kill_at) and os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        if kill_after:
            signal.setitimer(signal.ITIMER_REAL, kill_after)  # SIGALRM ends a process that does not expect it
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
        sys.argv = ["tgr", "train", *options, "-q"]
        for number in (1, 2):
            os.dup2(os.open(folder / ("out", "err")[number - 1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        try:
            tgr_cli.app.main()
        except SystemExit as left:
            (folder / "changes").write_text(str(seen))
            return int(left.code or 0)
        return 0

    return fork(run)


def content(run: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a run that equal trainings have alike, and the names of the others."""
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


def main(every: int, at_random: int, *options: str) -> int:
    name = options[options.index("--model") + 1]
    with tempfile.TemporaryDirectory(prefix="toy-") as made:
        base = Path(made)
        relative = Path("runs/digits") / f"{name}-baseline"

        started = time.perf_counter()
        older, expected_in = base / "older", base / "whole"
        older.mkdir()
        assert tgr(older, *options, "--lr", "0.01") == 0, (older / "err").read_text()
        shutil.copytree(older, expected_in)
        before = content(expected_in / relative)
        began = time.perf_counter()
        assert tgr(expected_in, *options) == 0
        seconds, moments = time.perf_counter() - began, int((expected_in / "changes").read_text())
        expected = content(expected_in / relative)
        drawn = random.Random(0)
        kills = [{"kill_at": moment} for moment in range(1, moments + 1, every)]
        kills += [{"kill_after": drawn.uniform(0.05, seconds)} for _ in range(at_random)]
        killed = bad = untouched = 0
        for number, kill in enumerate(kills):
            folder = shutil.copytree(older, base / f"at{number}")
            ended = tgr(folder, *options, **kill)
            killed += os.WIFSIGNALED(ended)
            found = content(folder / relative)
            untouched += all(found.get(file) == before[file] for file in before)
            resumed = tgr(folder, *options, "--resume")
            # Killed before its first checkpoint, the older run is what could be resumed: it is refused, and begun anew.
            if resumed and (folder / relative / "last.pt").exists():
                assert whole(folder / relative, name), kill
                resumed = tgr(folder, *options)
            if resumed or content(folder / relative) != expected:
                bad += 1
                sys.stdout.write(f"{kill}: {(folder / 'err').read_text()}{sorted(content(folder / relative))}\n")
        sys.stdout.write(
            f"{len(kills)} trainings, {killed} killed ({moments} moments, {at_random} at random), {untouched} left the "
            f"older run as it was, {bad} did not end in the undisturbed bytes; {time.perf_counter() - started:.0f} s\n"
        )
        return bad


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
