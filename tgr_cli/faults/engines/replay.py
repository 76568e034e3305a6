"""Runs only the part of the network that depends on the site; all other values are golden activations."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.fx.node import Node

from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines.engine import Engine, FaultEffects, padded, written
from tgr_cli.faults.engines.golden_values import GoldenValues, Part
from tgr_cli.faults.engines.memory import MEMORY
from tgr_cli.faults.graph import Network
from tgr_cli.faults.graph_sites import Call
from tgr_cli.faults.sites import Site

FEWEST = 4  # images of a batch that is tried in place of a whole one: fewer nearly always differ in linear layers


class Replay(Engine):
    """Injects at any site of any network; equals `full` up to rounding that depends on a row's batch position.

    The golden activations of all prepared images are kept; `images_at_once` is how many fit into `memory`.
    """

    name: ClassVar[str] = "replay"
    channels_last: ClassVar[bool] = False
    network: Network

    def __init__(self, model: nn.Module, network: Network, corruption: Corruption, *, memory: int = MEMORY) -> None:
        super().__init__(model, network, corruption, memory=memory)
        self.golden = GoldenValues(network, channels_last=self.channels_last)
        self.golden_NC = torch.empty(0)
        self._calls = {call.site.name: call for call in network.calls.values()}
        self._parts: dict[frozenset[Node], tuple[Part, Part]] = {}
        self._same_bits: dict[int, bool] = {}

    @property
    def bytes_per_image(self) -> int:
        return super().bytes_per_image + self.golden.bytes_per_image

    def prepare(self, x_NCHW: Tensor) -> Tensor:
        self._take(x_NCHW)
        self.golden_NC = self.golden.fill(x_NCHW)
        return self.golden_NC.cpu()

    def measure(self, sites: Sequence[Site], jobs: int = 1) -> None:
        if jobs > 1:  # each of the processes would measure it
            for site in sites:
                if site.per_image and not site.is_parameter:
                    self._rows_at_least(self._calls[site.name])

    def share(self, site: Site) -> float:
        """Return the share of the network's multiply-accumulates that is recomputed for a fault at this site."""
        again = {node for node, _ in self._parts_of({self._calls[site.name].node})[1].program}
        return sum(c.site.macs for c in self._calls.values() if c.node in again) / sum(
            s.macs for s in self.network.sites
        )

    def _strike(self, site: Site, rows_K: Tensor, elements_KP: Tensor, choices_K: Tensor) -> FaultEffects:
        call, device = self._calls[site.name], self.network.device
        rows_K, elements_KP = rows_K.to(device), elements_KP.to(device)
        before_KP = self.golden.elements(call, rows_K[:, None], elements_KP.clamp_min(0))
        fault_free = self._fault_free(
            site, lambda elements_KPS: self.golden.elements(call, rows_K[:, None, None], elements_KPS)
        )
        real_KP = elements_KP.clamp_min(0)
        flipped_KP, after_KP = self.corruption.chosen(site, real_KP, before_KP, choices_K[:, None], fault_free)
        logits_KC = self._faulty(call, rows_K, elements_KP, before_KP, after_KP)
        return FaultEffects(before_KP[:, 0], flipped_KP[:, 0], after_KP[:, 0], logits_KC)

    def _faulty(self, call: Call, rows_K: Tensor, elements_KP: Tensor, before_KP: Tensor, after_KP: Tensor) -> Tensor:
        """Return the logits [K, C] of images whose elements are `after_KP` instead of `before_KP`; -1 pads."""
        size = self.network.batch_size
        if call.site.per_image and len(rows_K) < size:
            size = self._rows_at_least(call)
        parts = (value.split(size) for value in (rows_K, elements_KP, after_KP))
        return torch.cat([self._batch(call, size, *part) for part in zip(*parts, strict=True)])

    def _batch(self, call: Call, size: int, rows_K: Tensor, elements_KP: Tensor, after_KP: Tensor) -> Tensor:
        """Return the logits as `_faulty` does, of K ≤ `size` faults, run as a batch of this size."""
        faults = len(rows_K)
        if call.site.per_image:
            rows_K, elements_KP, after_KP = (padded(value, size) for value in (rows_K, elements_KP, after_KP))

        def hit(golden: Mapping[Node, Tensor]) -> dict[Node, Tensor]:
            value = self.network.struck(
                call, golden[call.node], lambda share_BN: written(share_BN, elements_KP, after_KP)
            )
            return {call.node: value}

        return self.rest({call.node}, rows_K, hit)[:faults]

    def _rows_at_least(self, call: Call) -> int:
        """Return how many images a batch of faults at a site must have at least, to give the bits of a whole batch.

        Kernels are chosen by shapes and threads, so that `FEWEST` images are tried once for each number of threads.
        """
        whole, threads = self.network.batch_size, torch.get_num_threads()
        if whole <= FEWEST or any(part.reshaping is None for part in self._parts_of({call.node})):
            return whole
        if threads not in self._same_bits:
            if not self._images_tell():
                return whole
            self._same_bits[threads] = self._few_have_same_bits()
        return FEWEST if self._same_bits[threads] else whole

    def _images_tell(self) -> bool:
        """Return whether the first prepared images differ, within and among them: others would hide other kernels."""
        x_KN = self._images(torch.arange(min(FEWEST, len(self.golden_NC)))).flatten(1)[:FEWEST]
        return (
            len(self.golden_NC) >= FEWEST
            and len(x_KN.unique(dim=0)) == FEWEST
            and bool((x_KN != x_KN[:, :1]).any(1).all())
        )

    def _few_have_same_bits(self) -> bool:
        """Return whether every golden value of `FEWEST` images comes out the same, where they alone are the batch."""
        network, golden = self.network, self.golden
        values = [*filter(golden.lies_first, golden.kept), network.output]
        whole = golden.part(values, {network.input})
        if whole.reshaping is None or network.dtype not in (torch.float32, torch.float64):  # too few bits to tell
            return False
        x_KCHW = self._images(torch.arange(FEWEST))[:FEWEST].to(network.device, network.dtype)
        rows_K = torch.arange(FEWEST, device=network.device)
        found = golden.run(whole, rows_K, {network.input: x_KCHW})
        return torch.equal(found[network.output], self.golden_NC[:FEWEST]) and all(
            torch.equal(found[value], golden.rows(value, rows_K))
            for value in values
            if value not in (network.input, network.output)
        )

    def _with_parameter(self, site: Site, faulty: Tensor, rows_K: Tensor) -> Tensor:
        standing = self.network.standing({site.name: faulty})
        return self.rest(set(standing), rows_K.to(self.network.device), lambda golden: standing)

    def rest(
        self, cut: Collection[Node], rows_K: Tensor, change: Callable[[Mapping[Node, Tensor]], dict[Node, Tensor]]
    ) -> Tensor:
        """Return the logits [K, C] of K ≤ B images, with `change(golden values of cut)` in place of those values."""
        before, after = self._parts_of(cut)
        count = len(rows_K)
        if before.reshaping is None or after.reshaping is None:
            rows_K = padded(rows_K, self.network.batch_size)
        changed = change(self.golden.run(before, rows_K))
        return self.golden.run(after, rows_K, changed)[self.network.output][:count]

    def _parts_of(self, cut: Collection[Node]) -> tuple[Part, Part]:
        """Return the part that computes the golden values of `cut`, and the part from `cut` to the logits."""
        key = frozenset(cut)
        if key not in self._parts:
            self._parts[key] = (self.golden.part(cut), self.golden.part({self.network.output}, cut))
        return self._parts[key]
