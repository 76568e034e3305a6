"""Faults dealt to feature maps: exactly as many in each, unbiased, in images that are spread over each map."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.fault_models import Choices, Flip
from tgr_cli.faults.formats import NATIVE
from tgr_cli.faults.gradients import Gradients
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.places import Places
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sampling import importance, uniform

BITS = Choices(Flip(), NATIVE["float32"])
IMAGES = torch.rand(12, 2, 6, 6, generator=torch.Generator().manual_seed(4))
ELIGIBLE_N = np.arange(12) != 5
LABELS_N = np.arange(12) % 3
DOUBT_N = np.arange(12) / 12


class Convolutions(nn.Module):
    """A plain, a depthwise, a transposed and a 1-D convolution, with three logits."""

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.depthwise = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3, groups=4)
        self.transposed, self.line = nn.ConvTranspose2d(4, 6, 2), nn.Conv1d(6, 5, 3)
        self.fc = nn.Linear(5, 3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = torch.relu(self.depthwise(torch.relu(self.plain(x_BCHW))))
        return self.fc(torch.relu(self.line(self.transposed(x_BCHW).flatten(2))).mean(dim=2))


RANGES = dict.fromkeys(("plain", "depthwise", "transposed", "line"), 2.0)


@cache
def subject() -> tuple[nn.Module, Network]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = Convolutions().eval()
    return model, Network.capture(model, (2, 6, 6), batch_size=4, targets=("conv",))


@cache
def maps() -> dict[str, Places]:
    """Return the feature maps of each site."""
    _, network = subject()
    return {site.name: network.maps(site) for site in network.sites}


def drawn(sampling: str, each: int, seed: int = 0, doubt_N: np.ndarray = DOUBT_N) -> Plan:
    model, network = subject()
    counts = np.array([each * maps()[site.name].count for site in network.sites])
    common = {"choices": BITS, "seed": seed, "places": maps()}
    if sampling == "uniform":
        return uniform.draw(network.sites, ELIGIBLE_N, counts, **common)
    return importance.draw(
        network.sites,
        ELIGIBLE_N,
        counts,
        gradients=Gradients.capture(model, network, memory=2**31),
        corruption=Corruption(RangeLimit("clamp", RANGES)),
        load=lambda image_K: IMAGES[torch.from_numpy(image_K)],
        labels_N=LABELS_N,
        doubt_N=doubt_N,
        **common,
    )


@pytest.mark.parametrize("sampling", ["uniform", "importance"])
@pytest.mark.parametrize("each", [1, 7, 40])
def test_every_map_gets_exactly_the_faults_asked_for(sampling: str, each: int) -> None:
    plan = drawn(sampling, each)
    assert [maps()[site.name].count for site in plan.sites] == [4, 4, 6, 5]
    for number, site in enumerate(plan.sites):
        own = plan.site_F == number
        index = np.array(plan.take(np.flatnonzero(own)).indices())
        assert np.bincount(index[:, 0], minlength=maps()[site.name].count).tolist() == [each] * site.shape[0]
        np.testing.assert_array_equal(plan.number_F[own], np.arange(own.sum()))  # unique, none left out
        np.testing.assert_array_equal(index[:, 0], plan.number_F[own] % site.shape[0])
        assert ELIGIBLE_N[plan.image_F[own]].all()


@pytest.mark.parametrize("sampling", ["uniform", "importance"])
def test_a_larger_campaign_begins_with_the_faults_of_a_smaller_one(sampling: str) -> None:
    few, more = drawn(sampling, 5), drawn(sampling, 9)
    for number in range(len(few.sites)):
        small, large = (plan.take(np.flatnonzero(plan.site_F == number)) for plan in (few, more))
        for name in ("image_F", "element_F", "choice_F"):
            np.testing.assert_array_equal(getattr(small, name), getattr(large, name)[: len(small)])
        # Other images go through the gradients together, which rounds them otherwise.
        np.testing.assert_allclose(small.weight_F, large.weight_F[: len(small)], rtol=1e-5)


def test_by_importance_a_map_uses_each_image_equally_often_and_maps_begin_with_different_ones() -> None:
    plan = drawn("importance", 22, doubt_N=np.ones(12))  # twice the eligible images, all equally doubtful
    begins = set()
    for number, site in enumerate(plan.sites):
        map_F = maps()[site.name].of_elements(plan.element_F)
        for place in range(maps()[site.name].count):
            image_F = plan.image_F[(plan.site_F == number) & (map_F == place)]
            assert np.bincount(image_F, minlength=12).tolist() == [2 * int(eligible) for eligible in ELIGIBLE_N]
            begins.add(int(image_F[0]))
    assert len(begins) > 5


def test_weighted_means_within_each_map_are_those_of_all_its_faults() -> None:
    """Against the truth by enumeration: the mean, over images, elements and bits of a map, of any function of them."""
    value = np.random.default_rng(3).random((12, max(s.neurons for s in subject()[1].sites), 32))
    for sampling in ("uniform", "importance"):
        plan = drawn(sampling, 1500, seed=5)
        x_F = value[plan.image_F, plan.element_F, plan.choice_F] * plan.weight_F
        for number, site in enumerate(plan.sites):
            places = maps()[site.name]
            map_F = places.of_elements(plan.element_F)
            for place in range(places.count):
                own_F = x_F[(plan.site_F == number) & (map_F == place)]
                truth = value[ELIGIBLE_N][:, places.elements(np.array(place), np.arange(places.size))].mean()
                assert abs(own_F.mean() - truth) < 5 * own_F.std() / math.sqrt(len(own_F)), (sampling, site.name)
