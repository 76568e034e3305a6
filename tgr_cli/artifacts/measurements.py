"""The measurements in run folders, by name: of a model as it is, of its deployments, and of campaigns in tensors.

A measurement is named after its folder, and its campaign's target and number formats: `resnet20-baseline`,
`resnet20-baseline-weight`, `resnet20-baseline-int8`, `resnet20-baseline-weight-weights-int8`.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import TENSORS, RunFolder, Workspace, formats_in_names, no_such_run
from tgr_cli.artifacts.outputs import artifact_kind
from tgr_cli.errors import TgrError
from tgr_cli.paths import place

KINDS = ("golden", "injections", "ranges")  # the files from which a measurement is known


def measured_run(workspace: Workspace, run: str) -> RunFolder:
    """Return the measurement `run`: a name in the workspace, or the path of a folder, of one with a suffix, or a file.

    Raises TgrError if there is none, or if a name is that of a folder and of a deployment beside it.
    """
    for path in (workspace.path / run, place(run)):
        if path.is_file():
            return _of_file(path)
        found = [RunFolder(path)] if path.is_dir() else []
        if not found or path.name == run:  # a path to a folder is that folder, whatever lies beside it
            found += _with_suffix(path)
        if len(found) > 1:
            raise _ambiguous(run, found)
        if found:
            return found[0]
    raise no_such_run(workspace, run, list(_offered(workspace)))


def campaign_of(workspace: Workspace, run: str) -> tuple[str, Path]:
    """Return the name and the `injections` of the measurement `run`; as a path, an artifact of that kind of any name.

    Raises TgrError as `measured_run`.
    """
    path = place(run)
    if path.is_file() and artifact_kind(path) == "injections" and not path.name.startswith("injections"):
        return path.stem, path
    folder = measured_run(workspace, run)
    return folder.called, folder.injections


def deployments(folder: RunFolder) -> list[RunFolder]:
    """Return the measurements of the folder's model deployed in number formats, for campaigns of the same target.

    They are known by their files' metadata; files that were given other names with --out are none.
    """
    found = dict[RunFolder, None]()
    for kind in KINDS[:2]:
        for path in sorted(folder.path.glob(f"{kind}-*.parquet")):
            own = _described(path)
            if own and own.formats and own.target == (folder.target if kind == "injections" else "neuron"):
                found[RunFolder(folder.path, folder.target, own.formats)] = None
    return [each for each in found if folder.target == "neuron" or each.injections.exists()]


def evaluated(workspace: Workspace) -> list[RunFolder]:
    """Return every measurement of the workspace with a golden run, sorted by folder."""
    every = [each for folder in _folders(workspace) for each in (folder, *deployments(folder))]
    return [each for each in every if each.golden.exists()]


def _folders(workspace: Workspace) -> list[RunFolder]:
    return [RunFolder(path) for path in sorted(workspace.path.glob("*/"))]


def _with_suffix(path: Path) -> Iterator[RunFolder]:
    """Yield the measurements that `path` names: a folder's path, followed by the suffix of its files."""
    for folder in sorted(path.parent.glob("*/")):
        if path.name.startswith(f"{folder.name}-"):
            suffix = path.name.removeprefix(f"{folder.name}-")
            files = (folder / f"{kind}-{suffix}.parquet" for kind in KINDS)
            yield from dict.fromkeys(own for file in files if file.is_file() and (own := _described(file)))


def _of_file(path: Path) -> RunFolder:
    own = _described(path)
    if own is None:
        raise TgrError(
            f"{path} is no measurement of a run under the name that tgr gives it; name a run folder, or one of its "
            f"files {', '.join(f'{kind}.parquet' for kind in KINDS)}, with the suffix of a deployment or not"
        )
    return own


def _described(path: Path) -> RunFolder | None:
    """Return the measurement that a file belongs to by its metadata; None if its name is not that measurement's."""
    kind = path.stem.partition("-")[0]
    schema, provenance, _ = store.describe(path)
    target = str(provenance.config.get("target", "neuron")) if kind == "injections" else "neuron"
    if target not in ("neuron", *TENSORS):
        return None
    own = RunFolder(path.parent, target, formats_in_names(*provenance.deployed_in))
    return own if kind in KINDS and schema.kind == kind and getattr(own, kind).name == path.name else None


def _ambiguous(run: str, found: list[RunFolder]) -> TgrError:
    paths = [next((file for file in _files(each) if file.exists()), each.path) for each in found]
    return TgrError(f'"{run}" may be {" or ".join(map(str, paths))}; name one of these paths')


def _files(measurement: RunFolder) -> list[Path]:
    """Return the paths that name this measurement and no other; none for a folder, whose own path does."""
    if measurement == RunFolder(measurement.path):
        return []
    return [getattr(measurement, kind) for kind in KINDS]


def _offered(workspace: Workspace) -> Iterator[str]:
    """Yield the names of deployments for a message about another name; damaged files are passed over."""
    for folder in _folders(workspace):
        with suppress(TgrError):
            yield from (each.called for each in deployments(folder))
