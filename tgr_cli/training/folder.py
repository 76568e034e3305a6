"""The folder that a training writes: held by one process, cleared of what killed ones left, never someone else's."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from tgr_cli.artifacts import store
from tgr_cli.artifacts.folder_lock import LOCK, exclusive
from tgr_cli.artifacts.layout import RunFolder
from tgr_cli.artifacts.together import BEING_WRITTEN, WHOLE, abandon, complete
from tgr_cli.errors import TgrError, found_at
from tgr_cli.models.card import ModelCard
from tgr_cli.paths import real
from tgr_cli.reporting import Reporter
from tgr_cli.training import checkpoint, distributed
from tgr_cli.training.config import Config
from tgr_cli.training.distributed import Group


@contextmanager
def held(config: Config) -> Iterator[None]:
    """Hold the folder that `config` is trained in while the block runs; what killed trainings left is put right first.

    Of processes that train together the first one holds it. Raises TgrError where another training does, where the
    folder cannot be written, and where it is the user's own.
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
    """Move the files of a training that has ended to their places; return whether there were any.

    The card is last, for whoever finds it finds a whole run; then the state becomes that of a finished training.
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
    """Raise TgrError where `folder` is none, or where the user has `named` one that holds other things than a run."""
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise TgrError(f"{folder} is no name in UTF-8; choose another with --out or --workdir") from error
    if not folder.is_dir() and (folder.exists() or folder.is_symlink()):
        raise TgrError(f"{folder} {found_at(folder)}, and a run is written into a folder; choose another with --out")
    if not named or not folder.is_dir() or _is_run(folder):
        return
    ours = {LOCK, BEING_WRITTEN, WHOLE}
    others = sorted(p.name for p in folder.iterdir() if p.name not in ours and not p.name.endswith(".tmp"))
    if others:
        raise TgrError(
            f"{folder} holds {', '.join(others[:3])}{', …' * (len(others) > 3)}, and no run of tgr; name a new or an "
            "empty folder with --out"
        )


def _is_run(folder: Path) -> bool:
    run = RunFolder(folder)
    if checkpoint.is_one(run.checkpoint) or checkpoint.is_one(run.last) or (folder / WHOLE).is_dir():
        return True
    with suppress(TgrError):
        return bool(ModelCard.read(run.card))
    for path in folder.glob("*.parquet"):
        with suppress(TgrError):
            return bool(store.describe(path))
    return False


def resume_from(config: Config, group: Group, reporter: Reporter) -> Path | None:
    """Return the state that the training goes on from, None for one from the start; note what is replaced.

    Raises TgrError where a finished training has none.
    """
    run = config.run_folder
    unfinished, going_on, finished = group.agree((run.checkpoint.exists(), run.last.exists(), run.card.exists()))
    if distributed.restarts() and not config.resume:
        # The first start has removed the state of any training before this one.
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
