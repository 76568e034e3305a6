"""Importance sampling of anchors stays unbiased where others are struck with them."""

import numpy as np
import torch
from toys import toy_net

from tgr_cli.faults import units
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import Full
from tgr_cli.faults.fault_models import Choices, Flip
from tgr_cli.faults.formats import NATIVE
from tgr_cli.faults.gradients import Gradients
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.patterns import pattern_named
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sampling import importance

IMAGES = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_weighted_means_are_those_of_all_faults() -> None:
    model = toy_net()
    network = Network.capture(model, (1, 8, 8), batch_size=4)
    site, labels_N, form = network.sites[-1], np.zeros(4, np.int64), NATIVE["float32"]
    corruption = Corruption(RangeLimit("clamp", {site.name: 1.0}), pattern=pattern_named("row"))  # all logits at once
    engine = Full(model, network, corruption)

    def load(image_K: np.ndarray) -> torch.Tensor:
        return IMAGES[image_K]

    def dloss(plan: Plan) -> np.ndarray:
        return units.run(engine, plan, load, labels_N)["dloss"]

    image, element, bit = (index.ravel() for index in np.indices((4, site.neurons, 32)))
    zeros = np.zeros(len(image), np.int64)
    exact = dloss(Plan((site,), np.arange(len(image)), zeros, image, element, bit, np.ones(len(image)))).mean()
    drawn = importance.draw(
        [site],
        np.ones(4, bool),
        np.array([1200]),
        gradients=Gradients(network),
        corruption=corruption,
        load=load,
        labels_N=labels_N,
        doubt_N=np.array([0.1, 0.4, 0.2, 0.8]),
        choices=Choices(Flip(), form),
        seed=5,
    )
    found = drawn.weight_F * dloss(drawn)
    error = found.std() / np.sqrt(len(found))
    assert abs(found.mean() - exact) < 4 * error < exact / 3
