"""The models that `tgr cam` explains: found, opened, and split at the layer whose maps are used."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tgr_cli.artifacts.layout import RunFolder, Workspace, run_folder
from tgr_cli.data.datasets import ImageSet
from tgr_cli.data.transforms import PreprocessingOptions
from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.faults.export import ExportError
from tgr_cli.faults.graph import Network
from tgr_cli.models.card import ModelCard
from tgr_cli.models.loading import LoadedModel, load
from tgr_cli.models.source import ModelSource
from tgr_cli.paths import place, real
from tgr_cli.reporting import Reporter
from tgr_cli.saliency.layer import Layer, find, work_after

MOSTLY = 0.5  # share of MACs after the layer above which it is too early to explain the class


@dataclass(frozen=True)
class Asked:
    """A model to explain, and its run folder if the user named one."""

    source: ModelSource
    workspace: Workspace
    folder: RunFolder | None = None


@dataclass(frozen=True)
class Explained:
    """A model with its network and the layer whose maps are used; `folder` is its run."""

    name: str
    loaded: LoadedModel
    folder: RunFolder
    network: Network
    layer: Layer


Deploying = Callable[[Asked, LoadedModel, Network], Network]


def asked(
    workspace: Workspace, named: Sequence[str], source: ModelSource | None, against: str | None
) -> tuple[Asked, ...]:
    """Return the models of the runs `named`, or the model of `source` and, if given, `against` (a run or a checkpoint).

    Raises TgrError for a run that does not exist or holds no trained model.
    """
    if source is None:
        return tuple(_of_run(workspace, run) for run in named)
    first = Asked(source, workspace)
    if against is None:
        return (first,)
    if place(against).is_file():
        own = replace(source, weights=None, head=None, init=None, train_seed=None, variant=None)
        return first, Asked(replace(own, checkpoint=place(against)), workspace)
    return first, _of_run(workspace, against)


def _of_run(workspace: Workspace, run: str) -> Asked:
    folder = run_folder(workspace, run)
    if not folder.card.exists():
        raise TgrError(
            f"{folder.path} holds no trained model (no {folder.card.name}); explain a model that tgr did not train "
            "with --model, --checkpoint and --against"
        )
    where = real(folder.path)
    source = ModelSource(model=ModelCard.read(folder.card).model, checkpoint=folder.weights)
    return Asked(source, Workspace(where.parent.parent, where.parent.name), RunFolder(where))


def open_models(
    models: Sequence[Asked],
    classes: tuple[str, ...],
    *,
    preprocessing: PreprocessingOptions,
    layer: str | None,
    batch_size: int,
    device: str,
    reporter: Reporter,
    deployed: Deploying | None = None,
) -> list[Explained]:
    """Return the models opened, each with the layer of this name or else its last one with maps.

    `deployed` returns the network of a model as it is deployed in a number format; None leaves it as it is. Models of
    the same name get their fingerprints appended. Raises TgrError for a model that torch.export cannot trace, or if
    most of the work is after the last layer with maps.
    """
    opened = []
    for model in models:
        loaded = load(
            model.source, model.workspace, classes, preprocessing=preprocessing, device=device, reporter=reporter
        )
        folder = model.folder or loaded.run
        try:
            shape = loaded.preprocessing.input_shape
            network = Network.capture(loaded.model, shape, batch_size=batch_size, device=device)
        except ExportError as error:
            raise TgrError(
                f"{error}; maps need its graph: check that it takes images of {'×'.join(map(str, shape))} (--resize, "
                "--crop), else rewrite its forward until it can be traced"
            ) from error
        network = network if deployed is None else deployed(model, loaded, network)
        found = find(network, layer)
        if layer is None and work_after(network, found) > MOSTLY:
            raise TgrError(
                f"the last layer with maps of {folder.name} is {found.name}, and most of the work comes after it, on "
                f"tokens without a place in the image; name another layer, or this one with --layer {found.name}"
            )
        channels, height, width = found.shape
        reporter.note(f"{folder.name}: maps are taken at {found.name}, {channels:,} channels of {height}×{width}")
        opened.append(Explained(folder.name, loaded, folder, network, found))
    shared = {name for name, count in Counter(model.name for model in opened).items() if count > 1}
    return [
        replace(model, name=f"{model.name}-{model.loaded.fingerprint[:8]}") if model.name in shared else model
        for model in opened
    ]


def choose(images: ImageSet, count: int, ids: Sequence[str], reporter: Reporter) -> ImageSet:
    """Return the images `ids` or, without any, `count` evenly spaced ones; how they were chosen is noted."""
    places = {name: place for place, name in enumerate(images.ids)}
    for name in ids:
        if name not in places:
            raise TgrError(
                f'{images.used} has no image "{name}"; its images are called as in the artifact of "tgr evaluate", the '
                f'first one "{images.ids[0]}".{did_you_mean(name, places)}'
            )
    chosen = images.take([places[name] for name in dict.fromkeys(ids)]) if ids else images.sample(count)
    how = "named with --image-id" if ids else "at even steps through the split"
    reporter.note(f"{len(chosen)} of the {len(images):,} images of {images.used}, {how}")
    return chosen
