"""The base class of engines: takes any number of faults, runs them in batches of one shape, returns logits.

Suffixes: N images, B batch, K faults of one batch, F faults, P elements of a fault, C classes or channels, H W height
and width.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor, nn

from tgr_cli.errors import TgrError
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines.memory import CAPTURING, MEMORY, held_bytes
from tgr_cli.faults.fault_models import Choices
from tgr_cli.faults.graph import Network
from tgr_cli.faults.network import AnyNetwork
from tgr_cli.faults.patterns import Pattern
from tgr_cli.faults.scale_groups import FaultFree, ScaleGroups
from tgr_cli.faults.sites import Site

ELEMENTS = 2**22  # elements of faults listed at once


@dataclass(frozen=True)
class FaultBatch:
    """Faults at one site; every array is int64 [F].

    `rows_F` are images (positions among the prepared ones), `elements_F` flat indices within one image's share of the
    site's output or within the tensor, `choices_F` what happens to each, by the fault model's numbers. `footprints_F`
    numbers which elements go with each, by the pattern's; None for 0. A lasting fault has one adjacent row per image
    that it is tried on.
    """

    site: Site
    rows_F: Tensor
    elements_F: Tensor
    choices_F: Tensor
    footprints_F: Tensor | None = None

    @property
    def footprints(self) -> Tensor:
        """Return the footprint of each fault, [F]."""
        return torch.zeros_like(self.elements_F) if self.footprints_F is None else self.footprints_F


@dataclass(frozen=True)
class FaultEffects:
    """The results of faults, on the CPU: the values before, after the upset and after the limit, and the logits.

    Values are those of the drawn element, in the model's dtype.
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
        self.choices = Choices(corruption.model, corruption.word_format(network.dtype))
        self._groups: dict[str, ScaleGroups] = {}
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

    def measure(self, sites: Sequence[Site], jobs: int = 1) -> None:
        """Measure on the prepared images what faults at any of these sites need, else measured when first needed.

        With several `jobs`, in as many processes (`processes.each`).
        """
        return

    def inject(self, strike: FaultBatch) -> FaultEffects:
        """Run every fault of `strike` independently and return the results in the same order.

        Raises TgrError for a site that this engine cannot inject into.
        """
        site, x_NCHW = strike.site, self._x_NCHW
        assert x_NCHW is not None, "prepare comes first"
        assert len(strike.rows_F) == len(strike.elements_F) == len(strike.choices_F) > 0
        assert 0 <= int(strike.rows_F.min()) <= int(strike.rows_F.max()) < len(x_NCHW)
        _check(site, strike, self.choices, self.corruption.pattern)
        if site.is_parameter:
            return self._inject_parameter(strike)
        if site.name in self.unseen():
            raise TgrError(f'the engine {self.name} cannot strike site "{site.name}"; use --engine full for it')
        together, done = self._together(site), []
        for start in range(0, len(strike.rows_F), together):
            some = slice(start, start + together)
            elements_KP = self._elements(site, strike.elements_F[some], strike.footprints[some])
            done.append(self._strike(site, strike.rows_F[some], elements_KP, strike.choices_F[some]))
        return joined(done)

    def _together(self, site: Site) -> int:
        """Return how many faults are run together: `_at_once`, but with few enough elements to be listed."""
        form, at_once = self.corruption.form, self._at_once(site)
        a_fault = 1 if self.corruption.single else max(site.neurons, 1)
        if form is not None and form.dynamic:  # and for each the values beside
            a_fault *= max(form.block, 1)
        return at_once if a_fault == 1 else min(at_once, max(self.network.batch_size, ELEMENTS // a_fault))

    def _elements(self, site: Site, anchors_K: Tensor, footprints_K: Tensor) -> Tensor:
        """Return the elements that faults strike, [K, P]: the anchor first, -1 pads."""
        layout, groups = self.network.layout(site), self._scale_groups(site)
        return self.corruption.elements(site.op, layout, groups, anchors_K, footprints_K)

    def _scale_groups(self, site: Site) -> ScaleGroups | None:
        """Return which elements of a site share a scale, where faults need to know."""
        if not self.corruption.reads_groups:
            return None
        if site.name not in self._groups:
            assert self.corruption.form is not None
            self._groups[site.name] = self.network.scale_groups(site, self.corruption.form)
        return self._groups[site.name]

    def _fault_free(self, site: Site, read: Callable[[Tensor], Tensor]) -> FaultFree | None:
        """Return the fault-free values beside struck ones, where faults need them; `read` as `FaultFree.read`."""
        groups = self._scale_groups(site)
        return None if groups is None else FaultFree(groups, read)

    def _take(self, x_NCHW: Tensor) -> None:
        assert len(x_NCHW), "no images"
        self._x_NCHW = x_NCHW

    def _at_once(self, site: Site) -> int:
        """Return the maximum number of faults per call of `_strike`.

        All images share the output of a site that is not per image, so there every fault needs its own forward pass.
        """
        return self.network.batch_size if site.per_image else 1

    @abstractmethod
    def _strike(self, site: Site, rows_K: Tensor, elements_KP: Tensor, choices_K: Tensor) -> FaultEffects:
        """Run K ≤ `_at_once` independent faults, each in its own image.

        Each strikes the elements in a row of `elements_KP`; -1 pads.
        """

    def _inject_parameter(self, strike: FaultBatch) -> FaultEffects:
        """Run faults in a tensor of the model: one forward pass per fault and batch of its images.

        The flips are made in a copy of the tensor; the model's own is never written to.
        """
        site, done = strike.site, []
        faulty = self.network.parameters[site.name].clone()
        for some in same_faults(strike, self.network.batch_size):
            first = some[:1]
            elements_1P = self._elements(site, strike.elements_F[first], strike.footprints[first])
            elements_1P = elements_1P[:, elements_1P[0] >= 0]
            places = torch.unravel_index(elements_1P.to(faulty.device), site.shape or (1,))
            own = faulty if site.shape else faulty.view(1)  # a scalar tensor has no axis
            before_1P = own[places]
            flipped_1P, after_1P = self.corruption.chosen(site, elements_1P, before_1P, strike.choices_F[first])
            own[places] = after_1P
            logits_KC = self._with_parameter(site, faulty, strike.rows_F[some])
            own[places] = before_1P
            before_K, flipped_K, after_K = (
                value_1P[0, :1].expand(len(some)) for value_1P in (before_1P, flipped_1P, after_1P)
            )
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
    """Return groups of at most `at_most` adjacent rows with the same element, choice and footprint."""
    struck_3F = torch.stack((strike.elements_F, strike.choices_F, strike.footprints))
    _, lengths = torch.unique_consecutive(struck_3F, dim=1, return_counts=True)
    runs = torch.arange(len(strike.rows_F)).split(lengths.tolist())
    return [lot for run in runs for lot in run.split(at_most)]


def written(output_BN: Tensor, elements_KP: Tensor, after_KP: Tensor) -> Tensor:
    """Return a copy of an output with `after_KP` at the elements of row k in its row k; -1 pads, K ≤ B."""
    rows, places = (elements_KP >= 0).nonzero(as_tuple=True)
    return output_BN.index_put((rows, elements_KP[rows, places]), after_KP[rows, places])


def padded(x_BCHW: Tensor, batch_size: int) -> Tensor:
    """Return the rows padded to `batch_size` by repeating the last one."""
    missing = batch_size - len(x_BCHW)
    return torch.cat([x_BCHW, x_BCHW[-1:].expand(missing, *x_BCHW.shape[1:])]) if missing else x_BCHW


def _check(site: Site, strike: FaultBatch, choices: Choices, pattern: Pattern) -> None:
    """Raise TgrError for an element, choice or footprint that does not exist; faults may come from a file."""
    limits = (
        ("element", strike.elements_F, site.neurons),
        (choices.noun, strike.choices_F, choices.count),
        ("footprint", strike.footprints, pattern.count(site.op)),
    )
    for what, values_F, bound in limits:
        wrong = values_F[(values_F < 0) | (values_F >= bound)]
        if len(wrong):
            raise TgrError(f'{what} {int(wrong[0])} does not exist at site "{site.name}"; they are 0 to {bound - 1}')
