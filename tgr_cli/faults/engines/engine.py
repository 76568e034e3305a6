"""What every engine does: takes faults in any number, runs them in batches of one shape, gives the logits back.

Suffixes: N images, B batch, K faults of one batch, F faults, C classes or channels, H W height and width.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from tgr_cli.errors import TgrError
from tgr_cli.faults.bits import flip, width
from tgr_cli.faults.engines.memory import CAPTURING, MEMORY, held_bytes
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.network import AnyNetwork
from tgr_cli.faults.sites import Site


@dataclass(frozen=True)
class Strike:
    """Faults at one site: the struck images (positions among the prepared ones), elements (flat, within one image's
    share of the site's output, or within the tensor) and bits; int64 of shape [F] each.

    A fault in a tensor has a row for each image that it is tried on; its rows stand together.
    """

    site: Site
    rows_F: Tensor
    elements_F: Tensor
    bits_F: Tensor


@dataclass(frozen=True)
class Struck:
    """What faults did, on the CPU: the struck values before, after the flip, and after the range limit, in the model's
    dtype, and the faulty logits."""

    before_F: Tensor
    flipped_F: Tensor
    after_F: Tensor
    logits_FC: Tensor


class Engine(ABC):
    """A way to run faults. Subclasses run one batch; golden and faulty runs have the same batch shape.

    The model is found as it was left, bit for bit, after every call, also after an exception.
    """

    name: ClassVar[str]
    needs_graph: ClassVar[bool] = True

    def __init__(self, model: nn.Module, network: AnyNetwork, limit: RangeLimit, *, memory: int = MEMORY) -> None:
        self.check(network)
        self.model = model
        self.network = network
        self.limit = limit
        self.memory = memory
        self._x_NCHW: Tensor | None = None

    @classmethod
    def check(cls, network: AnyNetwork) -> None:
        """Raise TgrError for a network that this engine cannot run."""
        if cls.needs_graph and not isinstance(network, Network):
            raise TgrError(
                f"the engine {cls.name} needs the model's graph, and torch.export cannot trace the model; "
                "use --engine full"
            )

    @property
    def bytes_per_image(self) -> int:
        """Return the memory that a prepared image takes."""
        return math.prod(self.network.input_shape) * self.network.dtype.itemsize

    @property
    def images_at_once(self) -> int:
        """Return how many images `prepare` may be given for all it takes to fit into `memory` bytes; at least 1."""
        return max(1, (self.memory - self.working_bytes) // self.bytes_per_image)

    @property
    def working_bytes(self) -> int:
        """Return the memory that is taken beside what is kept: by the graph, and by a forward pass while it runs."""
        if not isinstance(self.network, Network):
            return CAPTURING  # what a model with hooks holds while it runs is not known
        return CAPTURING + held_bytes(self.network.program)

    def unseen(self) -> tuple[str, ...]:
        """Return the names of the network's sites that this engine cannot strike."""
        return ()

    def prepare(self, x_NCHW: Tensor) -> Tensor:
        """Take the images that faults are to strike, and return their golden logits [N, C], on the CPU."""
        self._take(x_NCHW)
        batch_size = self.network.batch_size
        logits = [self.network.forward(padded(x_BCHW, batch_size)) for x_BCHW in x_NCHW.split(batch_size)]
        return torch.cat(logits)[: len(x_NCHW)].cpu()

    def inject(self, strike: Strike) -> Struck:
        """Run every fault of `strike` on its own and return what each did, in the order given.

        Raises TgrError for a site that this engine cannot strike.
        """
        site, x_NCHW = strike.site, self._x_NCHW
        assert x_NCHW is not None, "prepare comes first"
        assert len(strike.rows_F) == len(strike.elements_F) == len(strike.bits_F) > 0
        assert 0 <= int(strike.rows_F.min()) <= int(strike.rows_F.max()) < len(x_NCHW)
        _check(site, strike, width(self.network.dtype))
        if site.is_parameter:
            return self._inject_parameter(strike)
        if site.name in self.unseen():
            raise TgrError(f'the engine {self.name} cannot strike site "{site.name}"; use --engine full for it')
        together, done = self._at_once(site), []
        for start in range(0, len(strike.rows_F), together):
            some = slice(start, start + together)
            done.append(self._strike(site, strike.rows_F[some], strike.elements_F[some], strike.bits_F[some]))
        return joined(done)

    def _take(self, x_NCHW: Tensor) -> None:
        assert len(x_NCHW), "no images"
        self._x_NCHW = x_NCHW

    def _at_once(self, site: Site) -> int:
        """Return how many faults `_strike` takes at most.

        All images share the output of a site that is not per image, so there one fault takes a forward pass.
        """
        return self.network.batch_size if site.per_image else 1

    @abstractmethod
    def _strike(self, site: Site, rows_K: Tensor, elements_K: Tensor, bits_K: Tensor) -> Struck:
        """Run K ≤ `_at_once` independent faults, each on its own prepared image."""

    def _inject_parameter(self, strike: Strike) -> Struck:
        """Run faults in a tensor of the model; rows of one fault share a pass, the faults have passes of their own.

        A copy of the tensor is struck, one for all of these faults: the model's own is never written to.
        """
        site, done = strike.site, []
        faulty = self.network.parameters[site.name].clone()
        for some in same_faults(strike, self.network.batch_size):
            place = tuple(int(axis) for axis in np.unravel_index(int(strike.elements_F[some[0]]), site.shape))
            before_1 = faulty[place].reshape(1).clone()
            flipped_1, after_1 = self._flipped(site, before_1, strike.bits_F[some[:1]])
            faulty[place] = after_1[0]
            logits_KC = self._with_parameter(site, faulty, strike.rows_F[some])
            faulty[place] = before_1[0]
            before_K, flipped_K, after_K = (value_1.expand(len(some)) for value_1 in (before_1, flipped_1, after_1))
            done.append(Struck(before_K, flipped_K, after_K, logits_KC))
        return joined(done)

    def _with_parameter(self, site: Site, faulty: Tensor, rows_K: Tensor) -> Tensor:
        """Return the logits [K, C] of K ≤ B prepared images with `faulty` in place of one tensor of the model."""
        raise TgrError(f"the engine {self.name} strikes neurons only; use --engine auto, replay or full")

    def _images(self, rows_K: Tensor) -> Tensor:
        """Return prepared images as a batch of the network's size, the last one repeated."""
        assert self._x_NCHW is not None
        return padded(self._x_NCHW[rows_K], self.network.batch_size)

    def _flipped(self, site: Site, before_K: Tensor, bits_K: Tensor) -> tuple[Tensor, Tensor]:
        """Return the struck values after the flip, and after the range limit."""
        flipped_K = flip(before_K, bits_K)
        return flipped_K, self.limit.apply(site.name, flipped_K)


def joined(parts: Sequence[Struck]) -> Struck:
    """Return what all these faults did, in order, on the CPU."""
    names = [field.name for field in fields(Struck)]
    return Struck(**{name: torch.cat([getattr(part, name) for part in parts]).cpu() for name in names})


def same_faults(strike: Strike, at_most: int) -> list[Tensor]:
    """Return the rows in lots of at most `at_most` neighbours that strike the same bit of the same element."""
    struck_2F = torch.stack((strike.elements_F, strike.bits_F))
    _, lengths = torch.unique_consecutive(struck_2F, dim=1, return_counts=True)
    runs = torch.arange(len(strike.rows_F)).split(lengths.tolist())
    return [lot for run in runs for lot in run.split(at_most)]


def padded(x_BCHW: Tensor, batch_size: int) -> Tensor:
    """Return the rows with the last one repeated until there are `batch_size`."""
    missing = batch_size - len(x_BCHW)
    return torch.cat([x_BCHW, x_BCHW[-1:].expand(missing, *x_BCHW.shape[1:])]) if missing else x_BCHW


def _check(site: Site, strike: Strike, bits: int) -> None:
    """Raise TgrError where a fault's element or bit does not exist (a list of faults may come from a file)."""
    for what, values_F, bound in (("element", strike.elements_F, site.neurons), ("bit", strike.bits_F, bits)):
        wrong = values_F[(values_F < 0) | (values_F >= bound)]
        if len(wrong):
            raise TgrError(f'{what} {int(wrong[0])} does not exist at site "{site.name}"; they are 0 to {bound - 1}')
