"""Chooses the fastest exact engine for each site; all share one set of golden activations."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines.delta import Delta
from tgr_cli.faults.engines.engine import Engine, FaultEffects
from tgr_cli.faults.engines.full import Full
from tgr_cli.faults.engines.memory import MEMORY
from tgr_cli.faults.engines.replay import Replay
from tgr_cli.faults.graph import Network
from tgr_cli.faults.network import AnyNetwork
from tgr_cli.faults.sites import Site

WORTH_KEEPING = 0.99  # above this share of the network, reading golden activations costs more time than it saves


class Auto(Engine):
    """Injects at any site: with `delta` where it has rules, else `replay`, or `full` where nothing is saved.

    Tensors of the model, and sites that are not per image, use `replay`; a model without a graph uses `full`.
    """

    name: ClassVar[str] = "auto"
    needs_graph: ClassVar[bool] = False

    def __init__(self, model: nn.Module, network: AnyNetwork, corruption: Corruption, *, memory: int = MEMORY) -> None:
        super().__init__(model, network, corruption, memory=memory)
        self._full = Full(model, network, corruption, memory=memory)
        self._kept: Engine = self._full
        if isinstance(network, Network):
            kept = Delta if Delta.takes(network) else Replay
            self._kept = kept(model, network, corruption, memory=memory)

    def chosen(self, site: Site) -> Engine:
        """Return the engine for faults at this site."""
        # few images per pass, and only the kept engine runs less than a batch
        if site.is_parameter or not site.per_image:
            return self._kept
        if isinstance(self._kept, Delta) and self._kept.follows(site):
            return self._kept
        if isinstance(self._kept, Replay) and self._kept.share(site) >= WORTH_KEEPING:
            return self._full
        return self._kept

    @property
    def bytes_per_image(self) -> int:
        return self._kept.bytes_per_image

    def prepare(self, x_NCHW: Tensor) -> Tensor:
        self._take(x_NCHW)
        self._full._take(x_NCHW)
        return self._kept.prepare(x_NCHW)

    def measure(self, sites: Sequence[Site], jobs: int = 1) -> None:
        self._kept.measure([site for site in sites if self.chosen(site) is self._kept], jobs)

    def _at_once(self, site: Site) -> int:
        return self.chosen(site)._at_once(site)

    def _strike(self, site: Site, rows_K: Tensor, elements_KP: Tensor, choices_K: Tensor) -> FaultEffects:
        return self.chosen(site)._strike(site, rows_K, elements_KP, choices_K)

    def _with_parameter(self, site: Site, faulty: Tensor, rows_K: Tensor) -> Tensor:
        return self.chosen(site)._with_parameter(site, faulty, rows_K)
