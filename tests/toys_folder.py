"""A folder in which the commands have run: the toy data set, a whole run of the toy network, a model with two heads."""

import shlex
from pathlib import Path

import numpy as np
import torch
from toys import CLASSES, toy_images, toy_net, write_toy_dataset
from toys_artifacts import invoke

from tgr_cli.artifacts.layout import RunFolder
from tgr_cli.data.transforms import Preprocessing
from tgr_cli.models import weights, zoo
from tgr_cli.models.card import ModelCard

TOY = "--model toys:build_toy --dataset parquet:toy --crop 8 --mean 0.5 --std 0.5 --batch-size 4"
RUN = Path("runs/toy/toys-build_toy-baseline")


def fill_here() -> None:
    """Make all of it in the working folder."""
    write_toy_dataset(Path("toy"))
    trained(RunFolder(RUN), "toys:build_toy", toy_net(), CLASSES)
    for command in ("evaluate", "profile-ranges", "inject --injections 3 --label golden"):
        invoke(*shlex.split(f"{command} {TOY} -q"))
    pictures(Path("pictures"))
    digits = tuple(str(digit) for digit in range(10))
    for head in ("baseline", "cosine"):
        run = RunFolder(Path(f"runs/digits/digits_cnn-{head}"))
        trained(run, "digits_cnn", zoo.build("digits_cnn", 10), digits, head)
    torch.save(toy_net(1).state_dict(), "toy.pt")
    np.save("matrix.npy", np.ones((10, 4), dtype=np.float32))
    invoke(*shlex.split("embed --dataset digits --init template --from-file matrix.npy -q"))


def trained(
    run: RunFolder, name: str, model: torch.nn.Module, classes: tuple[str, ...], head: str = "baseline"
) -> None:
    """Write weights and a card, as of a trained model, into a run's folder."""
    weights.save(model, run.weights)
    ModelCard(
        model=name,
        head=head,
        init=None,
        num_classes=len(classes),
        embedding_dim=None if head == "baseline" else 4,
        classes=classes,
        preprocessing=Preprocessing(resize=None, crop=8, mean=(0.5,), std=(0.5,), channels=1),
        seed=0,
        fingerprint=weights.fingerprint(model),
        params=weights.parameters(model),
    ).write(run.card)


def pictures(folder: Path) -> None:
    """Write six toy images as files in folders of their classes."""
    for number, (image, label) in enumerate(zip(*toy_images(6), strict=True)):
        path = folder / CLASSES[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of every file in a folder, by its path within it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
