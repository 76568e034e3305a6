"""The reference engine: a forward pass of the whole network, with one independent fault per row of the batch."""

from typing import ClassVar

import torch
from torch import Tensor

from tgr_cli.faults.engines.engine import Engine, FaultEffects
from tgr_cli.faults.sites import Site


class Full(Engine):
    """Injects at any site: reads the element from the site's output, flips and limits it, and writes it back.

    A hooked model may skip a site for some images. Then nothing is injected: values are NaN and logits unchanged.
    """

    name: ClassVar[str] = "full"
    needs_graph: ClassVar[bool] = False

    def _strike(self, site: Site, rows_K: Tensor, elements_K: Tensor, choices_K: Tensor) -> FaultEffects:
        elements_K = elements_K.to(self.network.device)
        places_K = torch.arange(len(elements_K), device=self.network.device)
        values: list[Tensor] = []

        def hit(output_BN: Tensor) -> Tensor:
            before_K = output_BN[places_K, elements_K]
            flipped_K, after_K = self.corruption.chosen(site, elements_K, before_K, choices_K)
            values.extend((before_K, flipped_K, after_K))
            return output_BN.index_put((places_K, elements_K), after_K)

        logits_BC = self.network.forward(self._images(rows_K), strike={site.name: hit})
        before_K, flipped_K, after_K = values or (logits_BC.new_full((len(elements_K),), torch.nan),) * 3
        return FaultEffects(before_K, flipped_K, after_K, logits_BC[: len(elements_K)])

    def _with_parameter(self, site: Site, faulty: Tensor, rows_K: Tensor) -> Tensor:
        return self.network.forward(self._images(rows_K), parameters={site.name: faulty})[: len(rows_K)]
