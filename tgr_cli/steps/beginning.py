"""The model that a training begins with: its head, and the class embeddings the head starts from."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import Workspace
from tgr_cli.artifacts.provenance import sha256_names
from tgr_cli.artifacts.schemas import EMBEDDINGS
from tgr_cli.errors import TgrError
from tgr_cli.models import zoo
from tgr_cli.models.classifier import text_guided
from tgr_cli.text.initialise import RANDOM_DIM, random_embeddings

if TYPE_CHECKING:
    from tgr_cli.steps.train import Config


def build(config: "Config", workspace: Workspace, classes: tuple[str, ...]) -> tuple[nn.Module, int | None, dict]:
    """Return the untrained model, its E, and the SHA-256 of each artifact that went into it."""
    if config.head == "baseline":
        return zoo.build(config.model, len(classes), seed=config.seed), None, {}
    if config.head == "cosine":
        embeddings_CE = torch.from_numpy(
            random_embeddings(len(classes), config.embedding_dim or RANDOM_DIM, config.seed)
        )
        inputs: dict[str, str] = {}
    else:
        embeddings_CE, inputs = _read_embeddings(config, workspace, classes)
    model = text_guided(config.model, embeddings_CE, seed=config.seed)
    return model, embeddings_CE.shape[1], inputs


def _read_embeddings(
    config: "Config", workspace: Workspace, classes: tuple[str, ...]
) -> tuple[torch.Tensor, dict[str, str]]:
    init = config.effective_init
    assert init is not None
    command = f"tgr embed --dataset {config.data.dataset} --init {init}"
    artifact = store.read(config.embeddings or workspace.embeddings(init), EMBEDDINGS, made_by=command)
    found = artifact.provenance.extra.get("init")
    if found != init:
        raise TgrError(
            f"{artifact.path} holds embeddings of --init {found}, where --init {init} is asked for; name the "
            f'initialisation they are, or run "{command}"'
        )
    if artifact.provenance.classes != sha256_names(classes):
        theirs = artifact.table["class_name"].to_pylist()
        raise TgrError(
            f"{artifact.path} embeds {_list(theirs)}, the data set has {_list(classes)}; "
            f'run "{command}" again for these classes'
        )
    return torch.from_numpy(np.stack(artifact.column("embedding"))), {"embeddings": artifact.sha256}


def _list(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f"{len(names)} classes ({shown})"
