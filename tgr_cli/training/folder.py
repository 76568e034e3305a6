"""The run folder of a training: locked by one process, cleaned after killed ones, never a foreign folder."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from tgr_cli.artifacts import store
from tgr_cli.artifacts.folder_lock import LOCK, exclusive
from tgr_cli.artifacts.layout import RunFolder
from tgr_cli.artifacts.together import ENDING, abandon, complete, is_committed
from tgr_cli.errors import TgrError, found_at
from tgr_cli.models.card import ModelCard
from tgr_cli.paths import real
from tgr_cli.reporting import Reporter
from tgr_cli.training import checkpoint, distributed
from tgr_cli.training.config import Config
from tgr_cli.training.distributed import Group


@contextmanager
def held(config: Config) -> Iterator[None]:
    """Context manager: lock the run folder of `config`, after completing or removing what killed trainings left.

    With torchrun the first process holds the lock. Raises TgrError where another training holds it, where the folder
    cannot be written, and where it holds other files of the user.
    """
    run = config.run_folder
    if not distributed.first():
        yield
        return
    _refuse_foreign(run.path, named=config.out is not None)
    busy = (
        f"another process is training in {run.path}; wait until it is done, or keep this training apart with "
        "--variant NAME or --out"
    )
    with exclusive(run.path, busy):
        finish(run)
        _remove_left_over(run)
        yield


def finish(run: RunFolder) -> bool:
    """Move the files of a finished training into place; return whether there were any.

    The card is moved last, as its presence marks a complete run; then the checkpoint becomes `run.last`.
    """
    files = (run.best, run.weights, run.training, run.card)
    moves = [(Path(path.name), path) for path in files]
    return complete(run.path, [*moves, (real(run.checkpoint), run.last)])


def _remove_left_over(run: RunFolder) -> None:
    abandon(run.path)
    outputs = (run.training, run.weights, run.best, run.card, run.checkpoint, run.last)
    written = (*outputs, *(store.run_record(path) for path in outputs))
    for path in chain.from_iterable(run.path.glob(f".{path.name}.*.tmp") for path in written):
        path.unlink()


def _refuse_foreign(folder: Path, *, named: bool) -> None:
    """Raise TgrError if `folder` is no folder, or was given by --out (`named`) and holds something else than a run."""
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise TgrError(f"{folder} is no name in UTF-8; choose another with --out or --workdir") from error
    if not folder.is_dir() and (folder.exists() or folder.is_symlink()):
        raise TgrError(f"{folder} {found_at(folder)}, and a run is written into a folder; choose another with --out")
    if not named or not folder.is_dir() or _is_run(folder):
        return
    ours = {LOCK, ENDING}
    others = sorted(p.name for p in folder.iterdir() if p.name not in ours and not p.name.endswith(".tmp"))
    if others:
        raise TgrError(
            f"{folder} holds {', '.join(others[:3])}{', …' * (len(others) > 3)}, and no run of tgr; name a new or an "
            "empty folder with --out"
        )


def _is_run(folder: Path) -> bool:
    run = RunFolder(folder)
    if checkpoint.is_one(run.checkpoint) or checkpoint.is_one(run.last) or is_committed(folder):
        return True
    with suppress(TgrError):
        return bool(ModelCard.read(run.card))
    for path in folder.glob("*.parquet"):
        with suppress(TgrError):
            return bool(store.describe(path))
    return False


def resume_from(config: Config, group: Group, reporter: Reporter) -> Path | None:
    """Return the checkpoint to resume from, None to start anew; what will be replaced is reported.

    Raises TgrError with --resume where a finished training has no checkpoint.
    """
    run = config.run_folder
    unfinished, going_on, finished = group.agree((run.checkpoint.exists(), run.last.exists(), run.card.exists()))
    if distributed.restarts() and not config.resume:
        # The first start removed the checkpoint of any earlier training.
        begun = "going on from its checkpoint" if unfinished else "beginning anew: there was no checkpoint yet"
        reporter.note(f"torchrun started the training again; {begun}")
        return run.checkpoint if unfinished else None
    if config.resume:
        if unfinished or going_on:
            return run.checkpoint if unfinished else run.last
        if finished:
            raise TgrError(
                f"{run.path} is finished, and its state to go on from ({run.last.name}) is not there; leave out "
                "--resume to train it anew"
            )
        reporter.note(f"{run.path} has no checkpoint to resume; training from the start")
        return None
    if unfinished:
        reporter.note(f"{run.checkpoint} of an interrupted training is replaced; --resume would go on from it")
        if distributed.restartable() and group.first:
            run.checkpoint.unlink()
    if finished:
        reporter.note(f"the model in {run.path} is replaced when this training ends")
    return None
