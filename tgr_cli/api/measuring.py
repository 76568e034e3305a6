"""Measurements of a model: without faults, its ranges, and with faults."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Unpack

from torch import nn

from tgr_cli import defaults
from tgr_cli.api.options import InjectOptions, RunOptions
from tgr_cli.api.progress import told
from tgr_cli.api.run import Run, Temporary
from tgr_cli.api.sources import Given, settings
from tgr_cli.api.wording import in_python
from tgr_cli.artifacts.layout import Workspace
from tgr_cli.artifacts.measurements import measured_run
from tgr_cli.paths import place


def evaluate(
    model: nn.Module | str,
    data: Any,
    *,
    classes: Sequence[str] | None = None,
    name: str | None = None,
    dataset: str = "data",
    workdir: str | Path | None = None,
    progress: bool = True,
    **options: Unpack[RunOptions],
) -> Run:
    """Classify the data without faults, and return the run with `golden` and `accuracy`.

    `model` is a module, which is copied and not changed, or a name. `data` are inputs [N, C, H, W] and labels [N], a
    torch data set or DataLoader of (image, label), or a name. `classes` are the names of the classes of data in memory,
    which are called `dataset`, and `name` is that of a module. Results are kept in `workdir` (None: with the object).
    `options` are those of `tgr evaluate`. Raises TgrError as the command does.
    """
    from tgr_cli.steps import evaluate as step

    given = Given(model=model, data=data, classes=classes, name=name, dataset=dataset)
    return _measured(step, given, options, workdir, progress)


def profile_ranges(
    model: nn.Module | str,
    data: Any,
    *,
    classes: Sequence[str] | None = None,
    name: str | None = None,
    dataset: str = "data",
    workdir: str | Path | None = None,
    progress: bool = True,
    **options: Unpack[RunOptions],
) -> Run:
    """Profile the values at every site without faults, and return the run with `ranges`.

    `data` in memory are the images to profile on; of a named data set they are its training images. `options` are those
    of `tgr profile-ranges`, the other arguments as of `evaluate`. Raises TgrError as the command does.
    """
    from tgr_cli.steps import profile_ranges as step

    train = None if isinstance(data, str) else data
    given = Given(model=model, data=data, train=train, classes=classes, name=name, dataset=dataset)
    return _measured(step, given, options, workdir, progress)


def inject(
    model: nn.Module | str,
    data: Any,
    *,
    train: Any = None,
    classes: Sequence[str] | None = None,
    name: str | None = None,
    dataset: str = "data",
    workdir: str | Path | None = None,
    progress: bool = True,
    **options: Unpack[InjectOptions],
) -> Run:
    """Run a campaign of faults, and return the run with `injections`, `sites`, `network` and `ranges`.

    `train` are images to profile the ranges on (None: the data). `options` are those of `tgr inject`, such as
    `injections=64`, `format="int8"`, `target="weight"`; the other arguments are as of `evaluate`. A campaign in a
    `workdir` that was interrupted goes on where it was. Raises TgrError as the command does.
    """
    from tgr_cli.steps import inject as step

    given = Given(model=model, data=data, train=train, classes=classes, name=name, dataset=dataset)
    return _measured(step, given, options, workdir, progress)


def _measured(
    step: ModuleType, given: Given, options: Mapping[str, Any], workdir: str | Path | None, progress: bool
) -> Run:
    """Return the run that a step measured, in a folder that is deleted with it if there is no `workdir`."""
    kept = Temporary() if workdir is None else None
    with in_python(), told(shown=progress) as reporter:
        folder = kept.path if kept else place(workdir or defaults.WORKDIR)
        result = step.run(settings(step.Config, given, options, folder), reporter)
        path = result.written.injections if hasattr(result, "written") else result.path
        return Run(
            measured_run(Workspace(folder, given.dataset), str(path)),
            notes=tuple(reporter.notes),
            gate=getattr(result, "gate", None),
            kept=kept,
        )
