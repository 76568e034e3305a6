"""The end of following: faults that rules propagate no further wait until a whole batch of them can be run.

Suffixes: F faults, K faults of one batch, C classes.
"""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor
from torch.fx.node import Node

from tgr_cli.faults.engines.batch import Batch
from tgr_cli.faults.engines.replay import Replay
from tgr_cli.faults.engines.windows import Window, stacked


class Tail:
    """Faults that rules propagate no further; they are run in whole batches."""

    def __init__(self, engine: Replay, logits_FC: Tensor) -> None:
        self.logits_FC = logits_FC
        self._engine = engine
        self._waiting: dict[tuple[tuple[Node, bool], ...], list[tuple[Tensor, Batch]]] = {}

    def add(self, batch: Batch, faults_K: Tensor) -> None:
        key = tuple((node, window.channel_K is None) for node, window in batch.changes.items())
        waiting = self._waiting.setdefault(key, [])
        waiting.append((faults_K, batch))
        size = self._engine.network.batch_size
        if sum(len(faults) for faults, _ in waiting) >= size:
            self._waiting[key] = self._run(waiting, at_least=size)

    def flush(self) -> None:
        for waiting in self._waiting.values():
            if waiting:
                self._run(waiting, at_least=1)
        self._waiting.clear()

    def _run(self, waiting: list[tuple[Tensor, Batch]], at_least: int) -> list[tuple[Tensor, Batch]]:
        """Run the waiting faults in batches and return those left over: a last batch smaller than `at_least`."""
        faults_F = torch.cat([faults for faults, _ in waiting])
        rows_F = torch.cat([batch.rows_K for _, batch in waiting])
        cut = tuple(waiting[0][1].changes)
        windows = {node: stacked([batch.changes[node] for _, batch in waiting]) for node in cut}
        for some in torch.arange(len(faults_F), device=faults_F.device).split(self._engine.network.batch_size):
            part = {node: window.take(some) for node, window in windows.items()}
            if len(some) < at_least:
                return [(faults_F[some], Batch(self._engine.golden, rows_F[some], part))]
            self.logits_FC[faults_F[some]] = self._engine.rest(set(cut), rows_F[some], partial(_added, part))
        return []


def _added(windows: Mapping[Node, Window], golden: Mapping[Node, Tensor]) -> dict[Node, Tensor]:
    """Return the golden values plus the changes in the windows."""
    changed = {}
    for node, window in windows.items():
        value = golden[node].clone()
        delta = window.dense()
        value[: len(delta)] += delta.reshape(len(delta), *value.shape[1:])
        changed[node] = value
    return changed
