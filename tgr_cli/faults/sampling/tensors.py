"""Importance sampling of faults in a model's tensors, which persist for whole inferences of any image.

As for neurons (importance.py), except that the gradient of the loss is summed over a random set of images and the
estimate is first-order throughout. The faults of a large tensor are drawn in blocks, each from its own random candidate
elements.

Suffixes: N images of the pool, S sites, F faults, K blocks or images of a fault, M elements, V choices, R faults of a
block.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from tgr_cli import seeding
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.fault_models import Choices
from tgr_cli.faults.gradients import Gradients
from tgr_cli.faults.plan import Drawn, Plan
from tgr_cli.faults.sampling.images import check, permuted, several
from tgr_cli.faults.sampling.importance import changes, elements, pick, relative
from tgr_cli.faults.sites import Site
from tgr_cli.reporting import SILENT, Reporter

BLOCK = 64  # faults per set of candidate elements
PARTS = 16  # candidates per block = PARTS × ELEMENTS_A_FAULT
IMAGES = 64  # images that the gradient is summed over


def draw(
    sites: Sequence[Site],
    eligible_N: np.ndarray,
    counts_S: np.ndarray,
    *,
    gradients: Gradients,
    corruption: Corruption,
    load: Callable[[np.ndarray], Tensor],
    labels_N: np.ndarray,
    choices: Choices,
    seed: int,
    images_per_fault: int,
    reporter: Reporter = SILENT,
) -> Plan:
    """Return a plan of `counts_S` faults in each tensor, each tried on `images_per_fault` distinct images.

    Otherwise as `importance.draw`.
    """
    check(eligible_N)
    counts = [int(count) for count in counts_S]
    elements_of = {
        site.name: elements(site, np.arange(max(1, -(-count // BLOCK))), PARTS, seed)
        for site, count in zip(sites, counts, strict=True)
    }
    places = {name: torch.from_numpy(e_KM).to(gradients.network.device) for name, e_KM in elements_of.items()}
    order = permuted(eligible_N, seed=seed)[:IMAGES]
    lots = [order[start : start + gradients.images_at_once] for start in range(0, len(order), gradients.images_at_once)]
    slopes = gradients.of_tensors(((load(lot), torch.from_numpy(labels_N[lot])) for lot in lots), places)
    drawn = []
    for number, (site, count) in enumerate(zip(sites, counts, strict=True)):
        values_KM = gradients.network.parameters[site.name].detach().reshape(-1)[places[site.name]]
        chosen = _faults(site, values_KM, slopes[site.name], elements_of[site.name], count, corruption, choices, seed)
        element_F, choice_F, weight_F = chosen
        image_FK = several(site.name, eligible_N, count, images_per_fault, seed=seed, stream="importance")
        drawn.append(
            Drawn(
                number_F=np.repeat(np.arange(count), images_per_fault),
                image_F=image_FK.ravel(),
                element_F=np.repeat(element_F, images_per_fault),
                choice_F=np.repeat(choice_F, images_per_fault),
                weight_F=np.repeat(weight_F, images_per_fault),
            )
        )
        reporter.progress("drawing faults", number + 1, len(sites))
    return Plan.joined(sites, drawn, lasting=True)


def _faults(
    site: Site,
    values_KM: Tensor,
    slope_KM: Tensor,
    element_KM: np.ndarray,
    count: int,
    corruption: Corruption,
    choices: Choices,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return element, choice and weight of each fault, block by block."""
    unit_F2 = torch.from_numpy(seeding.unit(seeding.words(seed, "importance", site.name, count=count)[:, :2]))
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for block, unit_1R2 in enumerate(unit_F2.split(BLOCK)):
        choice_1V = choices.candidates(seed, site.name, np.array([block]))
        change_1MV = changes(
            corruption,
            site,
            torch.from_numpy(element_KM[block : block + 1]),
            values_KM[block : block + 1],
            torch.from_numpy(choice_1V),
        )
        slope_1M = slope_KM[block : block + 1]
        scaled_1M = (slope_1M / slope_1M.amax()).nan_to_num(0.0)
        q_1MV = relative(change_1MV, change_1MV.abs() * scaled_1M[..., None]).cpu()
        place_1R, choice_1R, weight_1R = pick(q_1MV, unit_1R2[None])
        parts.append((element_KM[block][place_1R[0].numpy()], choice_1V[0][choice_1R[0].numpy()], weight_1R[0].numpy()))
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    element_F, choice_F, weight_F = (np.concatenate(column) for column in zip(*parts, strict=True))
    return element_F, choice_F, weight_F
