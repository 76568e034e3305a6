"""Comparison engine: injects the same faults with PyTorchFI 0.6.0, which hooks Conv2d and Linear modules.

Source: Mahmoud et al., "PyTorchFI: A Runtime Perturbation Tool for DNNs", DSN-W 2020. The package is no longer
maintained. Worked around here: its constructor uses the global random generators and calls `logging.basicConfig` with a
format that breaks the next warning; an injected model runs only once, since layers are identified by counting hook
calls; modules called functionally are not counted. Its deep copy of the model for every declaration is kept.
"""

import copy
import logging
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from tgr_cli.errors import TgrError
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines.engine import Engine, FaultEffects
from tgr_cli.faults.engines.memory import MEMORY
from tgr_cli.faults.graph import Network
from tgr_cli.faults.network import AnyNetwork
from tgr_cli.faults.sites import Site

LAYERS = (nn.Conv2d, nn.Linear)


class PyTorchFI(Engine):
    """Injects into float32 outputs of Conv2d and Linear modules that run once and have the batch axis first."""

    name: ClassVar[str] = "pytorchfi"

    def __init__(self, model: nn.Module, network: Network, corruption: Corruption, *, memory: int = MEMORY) -> None:
        super().__init__(model, network, corruption, memory=memory)
        assert corruption.single, "refused before"
        from pytorchfi.core import fault_injection

        paths: list[str] = []
        own = copy.deepcopy(model)  # a copy, since its hooks remain if the constructor fails
        for path, module in own.named_modules():
            if isinstance(module, LAYERS):
                module.register_forward_hook(lambda *_, path=path: paths.append(path))
        with _contained(network.device), torch.no_grad():
            self._tool = fault_injection(own, network.batch_size, list(network.input_shape), list(LAYERS))
        self._layers = self._numbers(paths)

    @classmethod
    def check(cls, network: AnyNetwork) -> None:
        super().check(network)
        if network.dtype != torch.float32:
            raise TgrError(
                f"the engine pytorchfi flips bits of float32 only, the model is {network.dtype}; use --engine full"
            )
        if network.guarded:
            raise TgrError(
                "the engine pytorchfi strikes a layer's output after the guards of a protected model have seen it; use "
                "--engine auto"
            )
        if network.deployment is not None:
            raise TgrError(
                "the engine pytorchfi runs the model as it is, not deployed in a number format; use --engine auto"
            )
        if network.device.type not in ("cpu", "cuda"):
            raise TgrError(
                f"the engine pytorchfi runs on cpu and cuda only, not on {network.device.type}; use --engine full"
            )

    def _numbers(self, paths: list[str]) -> dict[str, int]:
        """Return PyTorchFI's layer number of each supported site: the position of its only hook call."""
        calls, shapes = Counter(paths), self._tool.output_size
        number = {path: position for position, path in enumerate(paths) if calls[path] == 1}
        return {
            site.name: number[site.name]
            for site in self.network.sites
            if site.per_image
            and site.name in number
            and len(paths) == len(shapes)
            and tuple(shapes[number[site.name]]) == (1, *site.shape)
        }

    def unseen(self) -> tuple[str, ...]:
        return tuple(site.name for site in self.network.sites if site.name not in self._layers)

    def _strike(self, site: Site, rows_K: Tensor, elements_KP: Tensor, choices_K: Tensor) -> FaultEffects:
        elements_K = elements_KP[:, 0]
        tool, layer, count = self._tool, self._layers[site.name], len(elements_K)
        indices = [axis.tolist() for axis in np.unravel_index(elements_K.cpu().numpy(), site.shape)]
        # PyTorchFI takes three axes per fault, with None for axes that the output lacks.
        axes = {f"dim{axis + 1}": (indices[axis] if axis < len(indices) else [None] * count) for axis in range(3)}
        seen: dict[str, Tensor] = {}

        def flip(module: nn.Module, inputs: Any, output: Tensor) -> None:
            if tool.get_current_layer() == layer:
                assert tool.get_corrupt_layer() == [layer] * count
                where = tuple(
                    torch.tensor(axis, device=output.device)
                    for axis in (tool.corrupt_batch, tool.corrupt_dim1, tool.corrupt_dim2, tool.corrupt_dim3)
                    if axis[0] is not None
                )
                before_K = output[where]
                rows_K1 = torch.arange(count, device=output.device)[:, None]
                flat_BN = output.flatten(1)
                fault_free = self._fault_free(site, lambda elements_KS: flat_BN[rows_K1, elements_KS])
                flipped_K, after_K = self.corruption.chosen(site, elements_K, before_K, choices_K, fault_free)
                output[where] = after_K
                seen.update(before=before_K, flipped=flipped_K, after=after_K)
            tool.updateLayer()

        with _contained(self.network.device), torch.no_grad():
            try:
                corrupted = tool.declare_neuron_fi(
                    function=flip, layer_num=[layer] * count, batch=list(range(count)), **axes
                )
                logits_BC = corrupted(self._images(rows_K).to(self.network.device))
            finally:
                tool.fi_reset()
        return FaultEffects(seen["before"], seen["flipped"], seen["after"], logits_BC[:count])


@contextmanager
def _contained(device: torch.device) -> Iterator[None]:
    """Isolate PyTorchFI from the root logger and the global random generators."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = [logging.NullHandler()]  # basicConfig does nothing if there is a handler
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        root.handlers[:] = handlers
        root.setLevel(level)
