"""`tgr train` of the toy network on the toy data set of the working folder."""

from pathlib import Path

import numpy as np
from toys import CLASSES
from typer.testing import CliRunner, Result

from tgr_cli.app import app
from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import RunFolder, Workspace
from tgr_cli.artifacts.provenance import sha256_names
from tgr_cli.artifacts.schemas import EMBEDDINGS
from tgr_cli.errors import TgrError

TOY = ("--model", "toys:build_toy", "--resize", 8, "--crop", 8, "--mean", "0.5", "--std", "0.25")
QUICK = ("--epochs", 3, "--batch-size", 16, "--lr", 0.05)


def tgr(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, Exception) and not isinstance(result.exception, TgrError):
        raise result.exception
    return result


def train(*options: object) -> Result:
    return tgr("train", "--dataset", "parquet:toy", *TOY, *options)


def run_folder(name: str) -> RunFolder:
    return RunFolder(Path("runs/toy") / name)


def write_embeddings(classes: tuple[str, ...] = CLASSES, init: str = "descriptions") -> Path:
    matrix_CE = np.random.default_rng(0).standard_normal((len(classes), 12)).astype(np.float32)
    columns = {
        "class_index": range(len(classes)),
        "class_name": classes,
        "embedding": list(matrix_CE),
        "descriptions": [1] * len(classes),
        "spread": [1.0] * len(classes),
    }
    provenance = store.provenance_for(EMBEDDINGS, classes=sha256_names(classes), extra={"init": init, "dim": 12})
    return store.write(Workspace(Path("runs"), "toy").embeddings(init), EMBEDDINGS, columns, provenance)
