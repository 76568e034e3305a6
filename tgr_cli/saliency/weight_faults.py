"""Random single-bit faults in the weights of one model, or the same faults in two models.

Suffixes: F faults.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from tgr_cli import seeding
from tgr_cli.errors import TgrError
from tgr_cli.faults import scales
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.formats import Format, format_of
from tgr_cli.faults.formats.stored import Stored
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.network import AnyNetwork
from tgr_cli.faults.option_values import LimitMode
from tgr_cli.faults.sites import Site
from tgr_cli.faults.upset import Upset
from tgr_cli.saliency.layer import PREFIX


@dataclass(frozen=True)
class WeightFaults:
    """Distinct bits of tensors, one per fault: bit `bit_F` of element `element_F` of the tensor `names[tensor_F]`.

    Names are without the prefix of a text-guided classifier's backbone.
    """

    names: tuple[str, ...]
    tensor_F: np.ndarray
    element_F: np.ndarray
    bit_F: np.ndarray

    def __len__(self) -> int:
        return len(self.bit_F)


def weights(network: AnyNetwork) -> dict[str, Site]:
    """Return the weight tensors of a network in order of first use, by name without the backbone's prefix."""
    return {site.name.removeprefix(PREFIX): site for site in network.sites_of("weight")}


def form_of(network: AnyNetwork) -> Format:
    """Return the number format that a network's weights are stored in."""
    deployed = None if network.deployment is None else network.deployment.weight_form
    return deployed or network.stored_format("weight") or format_of(network.dtype)


def common(networks: Sequence[AnyNetwork]) -> dict[str, int]:
    """Return the number of elements of each weight tensor that all networks have with the same name and shape.

    Raises TgrError if there is none, or the networks compute in different formats.
    """
    first, *others = (weights(network) for network in networks)
    if len({form_of(network).name for network in networks}) > 1:
        raise TgrError(
            f"the weights are stored in {' and '.join(form_of(network).name for network in networks)}, so that no "
            "fault is the same in both; explain each alone"
        )
    if len({network.dtype for network in networks}) > 1:
        raise TgrError(
            f"the models compute in {' and '.join(str(network.dtype) for network in networks)}, so that no fault is "
            "the same in both; convert one, or explain each alone"
        )
    shared = {
        name: site.neurons
        for name, site in first.items()
        if all(name in other and other[name].shape == site.shape for other in others)
    }
    if not shared:
        raise TgrError(
            "the models have no weight tensor of the same name and shape, so that no fault is the same in both; "
            "explain each alone"
        )
    return shared


def draw(sizes: Mapping[str, int], count: int, *, width: int, seed: int) -> WeightFaults:
    """Return `count` distinct bits of tensors of these sizes, drawn uniformly over all their bits.

    Fault i depends only on the seed, the sizes and i. Raises TgrError if there are fewer bits.
    """
    ends = np.cumsum(list(sizes.values()))
    total = int(ends[-1])
    if count > total * width:
        raise TgrError(f"--faults is {count:,}, but the weights have {total * width:,} bits; use fewer")
    chosen, drawn = np.zeros(0, np.int64), count
    while len(chosen) < count:  # draw more if there were duplicates
        words_F4 = seeding.words(seed, "cam", count=drawn)
        place_F = seeding.below(words_F4[:, 0], total) * width + seeding.below(words_F4[:, 1], width)
        chosen = place_F[np.sort(np.unique(place_F, return_index=True)[1])][:count]
        drawn *= 2
    element_F, bit_F = np.divmod(chosen, width)
    tensor_F = np.searchsorted(ends, element_F, side="right")
    return WeightFaults(tuple(sizes), tensor_F, element_F - np.r_[0, ends[:-1]][tensor_F], bit_F)


def struck(network: AnyNetwork, strikes: WeightFaults, limit: str) -> dict[str, Tensor]:
    """Return the tensors with faults, by the network's own names, each with all its faults at once.

    `limit` bounds a faulty element to its tensor's largest absolute value. The network's own tensors are not modified.
    """
    own, form = weights(network), form_of(network)
    found = {}
    for number in np.unique(strikes.tensor_F):
        site, here_F = own[strikes.names[number]], strikes.tensor_F == number
        tensor = network.parameters[site.name]
        values_N, of_element = tensor.reshape(-1).clone(), dict[int, list[int]]()
        for element, bit in zip(strikes.element_F[here_F].tolist(), strikes.bit_F[here_F].tolist(), strict=True):
            of_element.setdefault(element, []).append(bit)
        mode = cast(LimitMode, "format" if isinstance(form, Stored) and form.bounded else limit)
        corruption = Corruption(RangeLimit.of_tensors(mode, {site.name: tensor}), form=form)
        of_tensor = None if network.deployment is None else network.deployment.weight_scales.get(site.name)
        for element, bits in of_element.items():
            scale = scales.at(of_tensor, site.shape, torch.tensor([element]))
            upset = Upset.together(bits, form)
            values_N[element] = corruption.struck(site.name, values_N[[element]], upset, scale).seen
        found[site.name] = torch.empty_like(tensor).copy_(values_N.reshape(tensor.shape))
    return found
