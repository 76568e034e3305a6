"""The effect of many kinds of fault on the same neurons, from a few evaluations of each neuron.

For one image and neuron the logits depend on one number, the neuron's value. They are evaluated at a few values (the
nodes) and interpolated linearly between them, which predicts the effect of every value that a fault of any kind may
leave. A random part of the faults is run exactly, and the mean of exact minus predicted effects corrects the predicted
mean. So estimates are unbiased however bad the interpolation is; a good one makes them precise (the difference
estimator: W. G. Cochran, "Sampling techniques", 3rd edition (1977), chapter 7; C.-E. Särndal, B. Swensson and J.
Wretman, "Model assisted survey sampling" (1992), section 6.3).

Suffixes: A anchors, P nodes of an anchor, V choices of a kind of fault, C classes, E exact faults.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tgr_cli import seeding
from tgr_cli.errors import TgrError
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines.engine import Engine, FaultBatch
from tgr_cli.faults.fault_models.given import Given
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sampling.anchors import FaultKind
from tgr_cli.faults.sites import Site
from tgr_cli.metrics import outcomes

AT_STAKE, REFINED = 0.15, 4  # the share of anchors where most is at stake, and how many more nodes they get
EXACT = 1.0  # exact faults an anchor, over all kinds
UNIFORM = 0.4  # part of the exact faults' probability that is the same for every choice
TOGETHER = 2**24  # predicted logits at a time


class Effects(NamedTuple):
    """SDC, 1 or 0, and dLoss (nats) of faults; or unbiased estimates of their means over a kind's choices."""

    sdc: Tensor
    dloss: Tensor


def corruption() -> Corruption:
    """Return the corruption of an engine for surfaces: values are replaced by given ones."""
    return Corruption(RangeLimit("none", {}), Given(), max_abs=_One())


class _One(dict[str, float]):
    def __missing__(self, site: str) -> float:
        return 1.0


@dataclass(frozen=True)
class Anchors:
    """Struck neurons of one site on prepared images: rows, elements and fault numbers [A], golden logits, labels."""

    site: Site
    rows_A: Tensor
    elements_A: Tensor
    number_A: np.ndarray
    image_A: np.ndarray
    weight_A: Tensor
    golden_AC: Tensor
    labels_A: Tensor

    @classmethod
    def of(cls, faults: Plan, image_K: np.ndarray, golden_KC: Tensor, labels_N: np.ndarray) -> "Anchors":
        """Return the anchors of a plan's faults, all at one site, on the prepared images `image_K`."""
        rows_A = torch.from_numpy(np.searchsorted(image_K, faults.image_F))
        return cls(
            faults.sites[faults.site_F[0]],
            rows_A,
            torch.from_numpy(faults.element_F),
            faults.number_F,
            faults.image_F,
            torch.from_numpy(faults.weight_F),
            golden_KC[rows_A].double(),
            torch.from_numpy(labels_N[faults.image_F]),
        )


class Surface:
    """Estimates the mean effect of each kind of fault at single neurons; `engine` has the `corruption` of surfaces."""

    def __init__(self, engine: Engine, kinds: Sequence[FaultKind], *, seed: int) -> None:
        self.engine, self.kinds, self.seed = engine, kinds, seed

    def effects(self, anchors: Anchors) -> list[Effects]:
        """Return for each kind an unbiased estimate of its mean effects at every anchor, [A] each.

        Raises TgrError for a logit that is not finite.
        """
        curves, values_AV = self._curves(anchors)
        golden = _Golden.of(anchors)
        found, exact = [], []
        for kind, value_AV in zip(self.kinds, values_AV, strict=True):
            predicted = self._predicted(curves, value_AV, golden)
            found.append(Effects(*(effect.mean(dim=1) for effect in predicted)))
            exact.append(self._chosen(kind, anchors, predicted))
        struck = [(number, *one) for number, one in enumerate(exact) if len(one[0])]
        if struck:
            place_E = torch.cat([place for _, place, _, _ in struck])
            value_E = torch.cat([values_AV[number][place, choice] for number, place, choice, _ in struck])
            _, logits_EC = self._evaluated(anchors, place_E, value_E)
            right = golden.effects(logits_EC[:, None], place_E)
            start = 0
            for number, place, choice, factor in struck:
                some = slice(start, start := start + len(place))
                predicted = self._predicted(curves.take(place), values_AV[number][place], golden.take(place))
                for mean_A, exact_E1, predicted_EV in zip(found[number], right, predicted, strict=True):
                    guessed_E = predicted_EV.gather(1, choice[:, None])[:, 0]
                    mean_A.index_add_(0, place, (exact_E1[some, 0] - guessed_E) * factor)
        return found

    def _curves(self, anchors: Anchors) -> tuple["_Curves", list[Tensor]]:
        """Return the logits of every anchor at its nodes, and the values that each kind may leave, [A, V] each."""
        every_A = torch.arange(len(anchors.rows_A))
        before_A, zero_AC = self._evaluated(anchors, every_A, torch.zeros(len(every_A), dtype=torch.float64))
        values_AV = [self._values(kind, anchors, before_A) for kind in self.kinds]
        all_AV = torch.cat(values_AV, dim=1).sort(dim=1).values
        ends_2A = torch.stack([all_AV[:, 0], all_AV[:, -1]])
        _, logits_EC = self._evaluated(anchors, every_A.repeat(2), ends_2A.flatten())
        ends_2AC = logits_EC.view(2, len(every_A), -1)
        nodes_AP = torch.stack([before_A.double(), torch.zeros(len(every_A)).double(), *ends_2A], dim=1)
        logits_APC = torch.stack([anchors.golden_AC, zero_AC, *ends_2AC], dim=1)
        golden = _Golden.of(anchors)
        at_ends = golden.effects(logits_APC[:, 1:])
        stake_A = anchors.weight_A * (at_ends.dloss.amax(dim=1) + at_ends.sdc.amax(dim=1))
        refined = stake_A.argsort(descending=True, stable=True)[: math.ceil(len(every_A) * AT_STAKE)].sort().values
        inner_RP = _spread(all_AV[refined], REFINED)
        _, more_EC = self._evaluated(anchors, refined.repeat_interleave(REFINED), inner_RP.flatten())
        nodes_AP = torch.cat([nodes_AP, nodes_AP[:, :1].expand(-1, REFINED)], dim=1)
        logits_APC = torch.cat([logits_APC, logits_APC[:, :1].expand(-1, REFINED, -1)], dim=1)
        nodes_AP[refined, 4:], logits_APC[refined, 4:] = inner_RP, more_EC.view(len(refined), REFINED, -1)
        order_AP = nodes_AP.argsort(dim=1, stable=True)
        sorted_APC = logits_APC.gather(1, order_AP[..., None].expand_as(logits_APC))
        return _Curves(nodes_AP.gather(1, order_AP), sorted_APC), values_AV

    def _values(self, kind: FaultKind, anchors: Anchors, before_A: Tensor) -> Tensor:
        """Return the values that a kind may leave in each anchor, equally likely, float64 [A, V]."""
        choice_AV = torch.from_numpy(kind.choices.candidates(self.seed, anchors.site.name, anchors.image_A))
        seen_AV = kind.corruption.every_choice(anchors.site, anchors.elements_A, before_A, choice_AV).seen
        if not seen_AV.isfinite().all():
            raise _not_finite(f'a fault at site "{anchors.site.name}" leaves a value that is')
        return seen_AV.double()

    def _evaluated(self, anchors: Anchors, place_E: Tensor, value_E: Tensor) -> tuple[Tensor, Tensor]:
        """Return the golden values [E] of anchors, and the logits [E, C] with other values in their place."""
        given = self.engine.corruption.model
        assert isinstance(given, Given)
        given.values = value_E
        struck = self.engine.inject(
            FaultBatch(anchors.site, anchors.rows_A[place_E], anchors.elements_A[place_E], torch.arange(len(place_E)))
        )
        if not struck.logits_FC.isfinite().all():
            raise _not_finite(f'a fault at site "{anchors.site.name}" makes logits that are')
        return struck.before_F, struck.logits_FC.double()

    def _predicted(self, curves: "_Curves", value_AV: Tensor, golden: "_Golden") -> Effects:
        """Return the predicted effects of the values, [A, V] each."""
        classes, parts = curves.logits_APC.shape[2], []
        for some in torch.arange(len(value_AV)).split(max(1, TOGETHER // (value_AV.shape[1] * classes))):
            parts.append(golden.take(some).effects(curves.take(some).at(value_AV[some])))
        return Effects(*(torch.cat(effect) for effect in zip(*parts, strict=True)))

    def _chosen(self, kind: FaultKind, anchors: Anchors, predicted: Effects) -> tuple[Tensor, Tensor, Tensor]:
        """Return the faults to run exactly: anchor, choice, and the factor of its residual in the anchor's mean."""
        words = seeding.words(self.seed, "exact", kind.name, anchors.site.name, count=int(anchors.number_A.max()) + 1)
        unit_A2 = torch.from_numpy(seeding.unit(words[anchors.number_A, :2]))
        share = min(1.0, EXACT / len(self.kinds))
        place_E = (unit_A2[:, 0] < share).nonzero().flatten()
        q_EV = torch.full(predicted.dloss.shape, UNIFORM, dtype=torch.float64)[place_E]
        for part_AV in (predicted.dloss, predicted.sdc):
            mean_E1 = part_AV[place_E].mean(dim=1, keepdim=True)
            q_EV += (1 - UNIFORM) / 2 * torch.where(mean_E1 > 0, part_AV[place_E] / mean_E1, 1.0)
        upto_EV = q_EV.cumsum(dim=1)
        aim_E1 = unit_A2[place_E, 1:] * upto_EV[:, -1:]
        choice_E1 = torch.searchsorted(upto_EV, aim_E1, right=True).clamp_max(q_EV.shape[1] - 1)
        return place_E, choice_E1[:, 0], 1 / (share * q_EV.gather(1, choice_E1)[:, 0])


@dataclass(frozen=True)
class _Curves:
    """The logits [A, P, C] of anchors at their nodes [A, P], which ascend."""

    nodes_AP: Tensor
    logits_APC: Tensor

    def take(self, places: Tensor) -> "_Curves":
        return _Curves(self.nodes_AP[places], self.logits_APC[places])

    def at(self, value_AV: Tensor) -> Tensor:
        """Return the logits at values, [A, V, C], interpolated linearly."""
        after_AV = torch.searchsorted(self.nodes_AP, value_AV.contiguous()).clamp(1, self.nodes_AP.shape[1] - 1)
        low_AV, high_AV = (self.nodes_AP.gather(1, place) for place in (after_AV - 1, after_AV))
        gap_AV = high_AV - low_AV
        part_AV = torch.where(gap_AV > 0, (value_AV - low_AV) / gap_AV, 0.0).clamp(0, 1)[..., None]
        classes = self.logits_APC.shape[2]
        low, high = (
            self.logits_APC.gather(1, place[..., None].expand(-1, -1, classes)) for place in (after_AV - 1, after_AV)
        )
        return torch.lerp(low, high, part_AV)


@dataclass(frozen=True)
class _Golden:
    """The fault-free prediction and loss of each anchor's image, and its label, [A] each."""

    first_A: Tensor
    loss_A: Tensor
    labels_A: Tensor

    @classmethod
    def of(cls, anchors: Anchors) -> "_Golden":
        logits_AC = anchors.golden_AC
        first_A, loss_A = _judged(logits_AC, anchors.labels_A)
        return cls(first_A, loss_A, anchors.labels_A)

    def take(self, places: Tensor) -> "_Golden":
        return _Golden(self.first_A[places], self.loss_A[places], self.labels_A[places])

    def effects(self, logits_AVC: Tensor, places: Tensor | None = None) -> Effects:
        """Return the effects [A, V] of faulty logits, of the anchors at `places` (None: all)."""
        own = self if places is None else self.take(places)
        first_AV, loss_AV = _judged(logits_AVC, own.labels_A[:, None].expand(logits_AVC.shape[:2]))
        return Effects((first_AV != own.first_A[:, None]).double(), (loss_AV - own.loss_A[:, None]).abs())


def _not_finite(what: str) -> TgrError:
    return TgrError(
        f"{what} not finite, between which nothing can be interpolated; use --limit clamp, or leave --surface out"
    )


def _judged(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the prediction and the loss of each row of logits [..., C], in the shape of `labels`."""
    rows_NC = logits.flatten(0, -2)
    found = outcomes.predictions(rows_NC), outcomes.cross_entropy(rows_NC, labels.flatten())
    first, loss = (torch.from_numpy(value).view(labels.shape) for value in found)
    return first, loss


def _spread(sorted_RV: Tensor, count: int) -> Tensor:
    """Return `count` of the sorted values of each row, spread both over the values and over their range, [R, count]."""
    ranks_V = torch.arange(sorted_RV.shape[1], dtype=torch.float64) / max(sorted_RV.shape[1] - 1, 1)
    range_R1 = (sorted_RV[:, -1:] - sorted_RV[:, :1]).clamp_min(torch.finfo(torch.float64).tiny)
    place_RV = (ranks_V + (sorted_RV - sorted_RV[:, :1]) / range_R1) / 2
    aim_P = torch.arange(1, count + 1, dtype=torch.float64) / (count + 1)
    found_RP = torch.searchsorted(place_RV.contiguous(), aim_P.expand(len(sorted_RV), -1).contiguous())
    return sorted_RV.gather(1, found_RP.clamp_max(sorted_RV.shape[1] - 1))
