"""Draws the neurons to strike without the change: by importance over several kinds of fault at once.

As importance.py, with q summed over what a fault may do to the neuron and averaged over the kinds of fault.

Suffixes: N images of the pool, S sites, K images of one backward pass, M elements, R anchors of an image.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tgr_cli import seeding
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.fault_models import Choices
from tgr_cli.faults.gradients import Gradients
from tgr_cli.faults.plan import Drawn, Plan
from tgr_cli.faults.sampling.images import check, numbers, permuted
from tgr_cli.faults.sampling.importance import changes, elements, in_order, relative
from tgr_cli.faults.sensitivity import Sensitivity
from tgr_cli.faults.sites import Site
from tgr_cli.reporting import SILENT, Reporter

MOST = 1024  # candidate elements of an image: the change of each is computed for every kind of fault


@dataclass(frozen=True)
class FaultKind:
    """A kind of fault: what it does to a value, and its numbered choices."""

    name: str
    corruption: Corruption
    choices: Choices


def draw(
    sites: Sequence[Site],
    eligible_N: np.ndarray,
    count: int,
    *,
    kinds: Sequence[FaultKind],
    gradients: Gradients,
    load: Callable[[np.ndarray], Tensor],
    labels_N: np.ndarray,
    seed: int,
    reporter: Reporter = SILENT,
) -> Plan:
    """Return a plan of `count` anchors at each site, whose choice is 0; otherwise as `importance.draw`."""
    check(eligible_N)
    order = permuted(eligible_N, seed=seed)
    parts: list[list[Drawn]] = [[] for _ in sites]
    struck = min(len(order), count)
    for start in range(0, struck, gradients.images_at_once):
        image_K = order[start : min(start + gradients.images_at_once, struck)]
        sensitivities = gradients.of(load(image_K), torch.from_numpy(labels_N[image_K]))
        number_KR = numbers(start, len(image_K), count, len(order))
        for site, done in zip(sites, parts, strict=True):
            done.append(_at_images(site, sensitivities[site.name], image_K, number_KR, count, kinds, seed))
        reporter.progress("drawing neurons", start + len(image_K), struck)
    return Plan.joined(sites, [in_order(done) for done in parts])


def _at_images(
    site: Site,
    sensitivity: Sensitivity,
    image_K: np.ndarray,
    number_KR: np.ndarray,
    count: int,
    kinds: Sequence[FaultKind],
    seed: int,
) -> Drawn:
    element_KM = elements(site, image_K, number_KR.shape[1], seed, most=MOST)
    place_KM = torch.from_numpy(element_KM).to(sensitivity.values_KN.device)
    values_KM = sensitivity.at(place_KM)
    q_KM = torch.zeros(element_KM.shape, dtype=torch.float64)
    for kind in kinds:
        choice_KV = torch.from_numpy(kind.choices.candidates(seed, site.name, image_K))
        change_KMV = changes(kind.corruption, site, place_KM, values_KM, choice_KV)
        q_KM += relative(change_KMV, sensitivity.loss_change(place_KM, change_KMV)).mean(dim=2).double().cpu()
    upto_KM = (q_KM / q_KM.mean(dim=1, keepdim=True)).cumsum(dim=1)
    words_KR = seeding.words(seed, "anchors", site.name, count=count)[np.minimum(number_KR, count - 1)]
    aim_KR = torch.from_numpy(seeding.unit(words_KR[..., 0])) * upto_KM[:, -1:]
    chosen_KR = torch.searchsorted(upto_KM, aim_KR, right=True).clamp_max(q_KM.shape[1] - 1)
    weight_KR = (q_KM.mean(dim=1, keepdim=True) / q_KM.gather(1, chosen_KR)).numpy()
    wanted_KR = number_KR < count
    return Drawn(
        number_F=number_KR[wanted_KR],
        image_F=np.broadcast_to(image_K[:, None], number_KR.shape)[wanted_KR],
        element_F=np.take_along_axis(element_KM, chosen_KR.numpy(), axis=1)[wanted_KR],
        choice_F=np.zeros(int(wanted_KR.sum()), np.int64),
        weight_F=weight_KR[wanted_KR],
    )
