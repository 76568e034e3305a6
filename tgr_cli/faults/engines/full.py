"""The reference engine: a forward pass of the whole network, with one independent fault per row of the batch."""

from typing import ClassVar

import torch
from torch import Tensor

from tgr_cli.faults.engines.engine import Engine, FaultEffects, written
from tgr_cli.faults.sites import Site


class Full(Engine):
    """Injects at any site: reads the element from the site's output, flips and limits it, and writes it back.

    A hooked model may skip a site for some images. Then nothing is injected: values are NaN and logits unchanged.
    """

    name: ClassVar[str] = "full"
    needs_graph: ClassVar[bool] = False

    def _strike(self, site: Site, rows_K: Tensor, elements_KP: Tensor, choices_K: Tensor) -> FaultEffects:
        elements_KP, count = elements_KP.to(self.network.device), len(elements_KP)
        places_K1 = torch.arange(count, device=self.network.device)[:, None]
        values: list[Tensor] = []

        def hit(output_BN: Tensor) -> Tensor:
            before_KP = output_BN[places_K1, elements_KP.clamp_min(0)]
            fault_free = self._fault_free(site, lambda elements_KPS: output_BN[places_K1[..., None], elements_KPS])
            real_KP = elements_KP.clamp_min(0)
            flipped_KP, after_KP = self.corruption.chosen(site, real_KP, before_KP, choices_K[:, None], fault_free)
            values.extend(value_KP[:, 0] for value_KP in (before_KP, flipped_KP, after_KP))
            return written(output_BN, elements_KP, after_KP)

        logits_BC = self.network.forward(self._images(rows_K), strike={site.name: hit})
        before_K, flipped_K, after_K = values or (logits_BC.new_full((count,), torch.nan),) * 3
        return FaultEffects(before_K, flipped_K, after_K, logits_BC[:count])

    def _with_parameter(self, site: Site, faulty: Tensor, rows_K: Tensor) -> Tensor:
        return self.network.forward(self._images(rows_K), parameters={site.name: faulty})[: len(rows_K)]
