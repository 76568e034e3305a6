"""A model loaded for a data set of three classes, and trained ones in the form of `tgr train`."""

from pathlib import Path

import torch
from toys import CLASSES
from toys_checkpoints import Notes

from tgr_cli.artifacts.layout import RunFolder, Workspace
from tgr_cli.data.transforms import Preprocessing, PreprocessingOptions
from tgr_cli.models import weights, zoo
from tgr_cli.models.card import ModelCard
from tgr_cli.models.classifier import text_guided
from tgr_cli.models.loading import LoadedModel, load
from tgr_cli.models.source import ModelSource
from tgr_cli.reporting import Reporter

SHOPS = Workspace(Path("runs"), "shops")
OTHER = Preprocessing(resize=10, crop=8, mean=(0.1,), std=(0.2,), channels=1)


def loaded(
    classes: tuple[str, ...] = CLASSES,
    options: PreprocessingOptions | None = None,
    device: str = "cpu",
    reporter: Reporter | None = None,
    **source: object,
) -> LoadedModel:
    return load(
        ModelSource(**{"model": "digits_cnn"} | source),  # type: ignore[arg-type]
        SHOPS,
        classes,
        preprocessing=options or PreprocessingOptions(),
        device=device,
        reporter=reporter or Notes(),
    )


def trained(head: str = "baseline", init: str | None = None, seed: int = 0, variant: str | None = None) -> RunFolder:
    """Write a model into the workspace in the form of `tgr train`."""
    run = SHOPS.run("digits_cnn", head, init, seed, variant)
    if head == "baseline":
        model = zoo.build("digits_cnn", 3, seed=seed)
    else:
        model = text_guided("digits_cnn", torch.eye(3, 16), seed=seed)
    weights.save(model, run.weights)
    card = ModelCard(
        model="digits_cnn",
        head=head,
        init=init,
        num_classes=3,
        embedding_dim=None if head == "baseline" else 16,
        classes=CLASSES,
        preprocessing=OTHER,
        seed=seed,
        fingerprint=weights.fingerprint(model),
        params=weights.parameters(model),
        variant=variant,
    )
    card.write(run.card)
    return run


TOYS = {"model": "toys:build_toy", "weights": "none"}
