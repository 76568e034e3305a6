"""The initial model of a training: its head, and the class embeddings the head starts from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tgr_cli import defaults
from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import Workspace
from tgr_cli.artifacts.provenance import sha256_file, sha256_names
from tgr_cli.artifacts.schemas import EMBEDDINGS
from tgr_cli.errors import TgrError
from tgr_cli.models import weights, zoo
from tgr_cli.models.checkpoint import CheckpointTensors
from tgr_cli.models.classifier import text_guided
from tgr_cli.models.from_state import restore
from tgr_cli.reporting import Reporter
from tgr_cli.text.initialise import random_embeddings
from tgr_cli.training.config import Config


@dataclass(frozen=True)
class Begun:
    """The initial model, its embedding dimension E (None for a baseline), and its input files' SHA-256 by role."""

    model: nn.Module
    embedding_dim: int | None
    inputs: Mapping[str, str]


def begin(config: Config, workspace: Workspace, classes: tuple[str, ...], reporter: Reporter) -> Begun:
    """Return the initial model, with the weights of `config.checkpoint` if given.

    Raises TgrError for embeddings or a checkpoint that do not fit, and for a model that does not compute in float32.
    """
    model, embedding_dim, inputs = _untrained(config, workspace, classes)
    if weights.dtype(model) != torch.float32:
        raise TgrError(
            f"{config.model} computes in {weights.dtype(model)}, which is too coarse or too slow to train; "
            "build it in torch.float32"
        )
    if config.checkpoint is not None:
        stored = CheckpointTensors.read(config.checkpoint)
        model = restore(model, stored, key=config.checkpoint_key, reporter=reporter).model
        weights.check_finite(model, stored.what)
        inputs = inputs | {"checkpoint": sha256_file(config.checkpoint)}
    return Begun(model, embedding_dim, inputs)


def _untrained(
    config: Config, workspace: Workspace, classes: tuple[str, ...]
) -> tuple[nn.Module, int | None, dict[str, str]]:
    if config.head == "baseline":
        return zoo.build(config.model, len(classes), seed=config.seed), None, {}
    if config.head == "cosine":
        embeddings_CE = torch.from_numpy(
            random_embeddings(len(classes), config.embedding_dim or defaults.RANDOM_DIM, config.seed)
        )
        inputs: dict[str, str] = {}
    else:
        embeddings_CE, inputs = _read_embeddings(config, workspace, classes)
    model = text_guided(config.model, embeddings_CE, seed=config.seed)
    return model, embeddings_CE.shape[1], inputs


def _read_embeddings(
    config: Config, workspace: Workspace, classes: tuple[str, ...]
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
