"""The base class of engines: takes any number of faults, runs them in batches of one shape, returns logits.

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
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines.memory import CAPTURING, MEMORY, held_bytes
from tgr_cli.faults.fault_models import Choices
from tgr_cli.faults.graph import Network
from tgr_cli.faults.network import AnyNetwork
from tgr_cli.faults.sites import Site


@dataclass(frozen=True)
class FaultBatch:
    """Faults at one site; every array is int64 [F].

    `rows_F` are images (positions among the prepared ones), `elements_F` flat indices within one image's share of the
    site's output or within the tensor, `choices_F` what happens to each, by the fault model's numbers. A lasting fault
    has one adjacent row per image that it is tried on.
    """

    site: Site
    rows_F: Tensor
    elements_F: Tensor
    choices_F: Tensor


@dataclass(frozen=True)
class FaultEffects:
    """The results of faults, on the CPU: the values before, after the upset and after the limit, and the logits.

    Values are in the model's dtype.
    """

    before_F: Tensor
    flipped_F: Tensor
    after_F: Tensor
    logits_FC: Tensor


class Engine(ABC):
    """Base class; a subclass runs one batch. Golden and faulty runs have the same batch shape.

    Every call leaves the model bitwise unchanged, also after an exception.
    """

    name: ClassVar[str]
    needs_graph: ClassVar[bool] = True

    def __init__(self, model: nn.Module, network: AnyNetwork, corruption: Corruption, *, memory: int = MEMORY) -> None:
        self.check(network)
        self.model = model
        self.network = network
        self.corruption = corruption
        self.choices = Choices(corruption.model, corruption.format(network.dtype))
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
        """Return the memory per prepared image in bytes."""
        return math.prod(self.network.input_shape) * self.network.dtype.itemsize

    @property
    def images_at_once(self) -> int:
        """Return how many images `prepare` can take within `memory` bytes; at least 1."""
        return max(1, (self.memory - self.working_bytes) // self.bytes_per_image)

    @property
    def working_bytes(self) -> int:
        """Return the memory in bytes besides prepared images: the graph, and the peak of a forward pass."""
        if not isinstance(self.network, Network):
            return CAPTURING  # the activations of a hooked model are not known
        return CAPTURING + held_bytes(self.network.program)

    def unseen(self) -> tuple[str, ...]:
        """Return the names of the network's sites that this engine cannot inject into."""
        return ()

    def prepare(self, x_NCHW: Tensor) -> Tensor:
        """Store the images to inject into, and return their golden logits [N, C], on the CPU."""
        self._take(x_NCHW)
        batch_size = self.network.batch_size
        logits = [self.network.forward(padded(x_BCHW, batch_size)) for x_BCHW in x_NCHW.split(batch_size)]
        return torch.cat(logits)[: len(x_NCHW)].cpu()

    def inject(self, strike: FaultBatch) -> FaultEffects:
        """Run every fault of `strike` independently and return the results in the same order.

        Raises TgrError for a site that this engine cannot inject into.
        """
        site, x_NCHW = strike.site, self._x_NCHW
        assert x_NCHW is not None, "prepare comes first"
        assert len(strike.rows_F) == len(strike.elements_F) == len(strike.choices_F) > 0
        assert 0 <= int(strike.rows_F.min()) <= int(strike.rows_F.max()) < len(x_NCHW)
        _check(site, strike, self.choices)
        if site.is_parameter:
            return self._inject_parameter(strike)
        if site.name in self.unseen():
            raise TgrError(f'the engine {self.name} cannot strike site "{site.name}"; use --engine full for it')
        together, done = self._at_once(site), []
        for start in range(0, len(strike.rows_F), together):
            some = slice(start, start + together)
            done.append(self._strike(site, strike.rows_F[some], strike.elements_F[some], strike.choices_F[some]))
        return joined(done)

    def _take(self, x_NCHW: Tensor) -> None:
        assert len(x_NCHW), "no images"
        self._x_NCHW = x_NCHW

    def _at_once(self, site: Site) -> int:
        """Return the maximum number of faults per call of `_strike`.

        All images share the output of a site that is not per image, so there every fault needs its own forward pass.
        """
        return self.network.batch_size if site.per_image else 1

    @abstractmethod
    def _strike(self, site: Site, rows_K: Tensor, elements_K: Tensor, choices_K: Tensor) -> FaultEffects:
        """Run K ≤ `_at_once` independent faults, each in its own image."""

    def _inject_parameter(self, strike: FaultBatch) -> FaultEffects:
        """Run faults in a tensor of the model: one forward pass per fault and batch of its images.

        The flips are made in a copy of the tensor; the model's own is never written to.
        """
        site, done = strike.site, []
        faulty = self.network.parameters[site.name].clone()
        for some in same_faults(strike, self.network.batch_size):
            place = tuple(int(axis) for axis in np.unravel_index(int(strike.elements_F[some[0]]), site.shape))
            before_1 = faulty[place].reshape(1).clone()
            flipped_1, after_1 = self.corruption.chosen(
                site, strike.elements_F[some[:1]], before_1, strike.choices_F[some[:1]]
            )
            faulty[place] = after_1[0]
            logits_KC = self._with_parameter(site, faulty, strike.rows_F[some])
            faulty[place] = before_1[0]
            before_K, flipped_K, after_K = (value_1.expand(len(some)) for value_1 in (before_1, flipped_1, after_1))
            done.append(FaultEffects(before_K, flipped_K, after_K, logits_KC))
        return joined(done)

    def _with_parameter(self, site: Site, faulty: Tensor, rows_K: Tensor) -> Tensor:
        """Return the logits [K, C] of K ≤ B prepared images with `faulty` in place of the tensor of `site`."""
        raise TgrError(f"the engine {self.name} strikes neurons only; use --engine auto, replay or full")

    def _images(self, rows_K: Tensor) -> Tensor:
        """Return prepared images as a batch of the network's size, padded with the last one."""
        assert self._x_NCHW is not None
        return padded(self._x_NCHW[rows_K], self.network.batch_size)


def joined(parts: Sequence[FaultEffects]) -> FaultEffects:
    """Return the concatenated results, on the CPU."""
    names = [field.name for field in fields(FaultEffects)]
    return FaultEffects(**{name: torch.cat([getattr(part, name) for part in parts]).cpu() for name in names})


def same_faults(strike: FaultBatch, at_most: int) -> list[Tensor]:
    """Return groups of at most `at_most` adjacent rows with the same element and choice."""
    struck_2F = torch.stack((strike.elements_F, strike.choices_F))
    _, lengths = torch.unique_consecutive(struck_2F, dim=1, return_counts=True)
    runs = torch.arange(len(strike.rows_F)).split(lengths.tolist())
    return [lot for run in runs for lot in run.split(at_most)]


def padded(x_BCHW: Tensor, batch_size: int) -> Tensor:
    """Return the rows padded to `batch_size` by repeating the last one."""
    missing = batch_size - len(x_BCHW)
    return torch.cat([x_BCHW, x_BCHW[-1:].expand(missing, *x_BCHW.shape[1:])]) if missing else x_BCHW


def _check(site: Site, strike: FaultBatch, choices: Choices) -> None:
    """Raise TgrError for an element or choice that does not exist; faults may come from a file."""
    limits = (("element", strike.elements_F, site.neurons), (choices.noun, strike.choices_F, choices.count))
    for what, values_F, bound in limits:
        wrong = values_F[(values_F < 0) | (values_F >= bound)]
        if len(wrong):
            raise TgrError(f'{what} {int(wrong[0])} does not exist at site "{site.name}"; they are 0 to {bound - 1}')
