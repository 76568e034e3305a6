"""Print how often the 99 % intervals of `tgr inject --surface` hold the truth, which is enumerated.

python benchmarks/surface_coverage.py [--campaigns 200] [--neurons 128] [--images 48]

Every fault of every kind, at every neuron of a small network on every image of a population, is run once: the truth. A
campaign draws images from the population with replacement, then neurons as the command does. `width` is the mean width
of the intervals relative to 2 × 2.576 standard deviations of the estimates.
"""

import argparse
import time

import numpy as np
import torch
from torch import Tensor, nn

from tgr_cli.faults import units
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import Auto
from tgr_cli.faults.fault_models import Choices, fault_model_named
from tgr_cli.faults.formats import format_named
from tgr_cli.faults.gradients import Gradients
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sampling import anchors
from tgr_cli.faults.sampling.anchors import FaultKind
from tgr_cli.faults.surface import Anchors, Surface, corruption
from tgr_cli.metrics.estimates import Draws
from tgr_cli.metrics.intervals import Estimate
from tgr_cli.metrics.outcomes import predictions
from tgr_cli.metrics.surface import SurfaceEstimates

FORMATS = ("float32", "bfloat16", "int8", "float8_e4m3fn")
BATCH = 8  # divides the population


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("campaigns", 200), ("neurons", 128), ("images", 48), ("population", 64), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    start = time.perf_counter()
    world = World(options.population, options.seed)
    true = [world.truth(kind) for kind in world.kinds]
    print(f"every fault of {options.population} images: {time.perf_counter() - start:.0f} s\n", flush=True)
    found = [world.campaign(options.seed + 1 + number, options) for number in range(options.campaigns)]
    print("| figure | format | truth | held | width |\n|---|---|---|---|---|")
    for number, kind in enumerate(world.kinds):
        for figure in range(2):
            for place, name in enumerate(("network", *(site.name for site in world.network.sites))):
                truth = true[number][figure][place]
                mean_R, low_R, high_R, _ = np.array([one[number][figure][place] for one in found]).T
                held, ideal = ((low_R <= truth) & (truth <= high_R)).mean(), 2 * 2.576 * mean_R.std()
                width = (high_R - low_R).mean() / ideal if ideal else float("nan")
                what = ("SDC rate", "mean dLoss")[figure]
                print(f"| {what}, {name} | {kind.choices.form.name} | {truth:.4g} | {held:.3f} | {width:.2f} |")
    print(f"\n{time.perf_counter() - start:.0f} s")


class World:
    """A small network with images, labels, ranges, and kinds of fault."""

    def __init__(self, images: int, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        self.model = nn.Sequential(
            *(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(16, 4)),
        ).eval()
        with torch.no_grad():
            for weight in self.model.parameters():
                weight.mul_(2.5)
        self.x_NCHW = torch.rand(images, 1, 8, 8, generator=random)
        self.network = Network.capture(self.model, (1, 8, 8), batch_size=BATCH)
        with torch.no_grad():
            self.labels_N = predictions(self.model(self.x_NCHW))
        bounds: dict[str, float] = {}
        for x_BCHW in self.x_NCHW.split(BATCH):
            self.network.forward(
                x_BCHW,
                observe=lambda site, values: bounds.update(
                    {site.name: max(bounds.get(site.name, 0.0), float(values.abs().max()))}
                ),
            )
        self.kinds = [self._kind(name, bounds) for name in FORMATS]
        self.gradients = Gradients(self.network)

    def _kind(self, name: str, bounds: dict[str, float]) -> FaultKind:
        form, model = format_named(name), fault_model_named("flip")
        fitted = {site: form.fit(torch.tensor(-bound), torch.tensor(bound)) for site, bound in bounds.items()}
        scales = {site: scale for site, scale in fitted.items() if scale is not None}
        limit = RangeLimit("format", {}) if form.bounded else RangeLimit("clamp", bounds)
        return FaultKind(name, Corruption(limit, model, form, scales, bounds), Choices(model, form))

    def truth(self, kind: FaultKind) -> tuple[list[float], list[float]]:
        """Return SDC rate and mean dLoss of the network and of each site, over every fault."""
        engine, rates, losses = Auto(self.model, self.network, kind.corruption), [], []
        for number, site in enumerate(self.network.sites):
            image_F, element_F, choice_F = (
                axis.ravel() for axis in np.indices((len(self.x_NCHW), site.neurons, kind.choices.count))
            )
            count = len(image_F)
            plan = Plan(
                tuple(self.network.sites),
                *(np.arange(count), np.full(count, number), image_F, element_F, choice_F, np.ones(count)),
            )
            found = units.run(engine, plan, self._load(np.arange(len(self.x_NCHW))), self.labels_N)
            rates.append(float((found["outcome"] == "sdc").mean()))
            losses.append(float(found["dloss"].mean()))
        return [float(np.mean(rates)), *rates], [float(np.mean(losses)), *losses]

    def campaign(self, seed: int, options: argparse.Namespace) -> list[tuple[list[Estimate], list[Estimate]]]:
        """Return the estimates of one campaign by kind: SDC rates and mean dLosses of the network and of each site."""
        image_G = np.random.default_rng(seed).integers(0, len(self.x_NCHW), options.images)
        load, labels_G = self._load(image_G), self.labels_N[image_G]
        plan = anchors.draw(
            self.network.sites,
            np.ones(len(image_G), bool),
            options.neurons,
            kinds=self.kinds,
            gradients=self.gradients,
            load=load,
            labels_N=labels_G,
            seed=seed,
        )
        engine = Auto(self.model, self.network, corruption())
        surface, struck_G = Surface(engine, self.kinds, seed=seed), np.arange(len(image_G))
        golden_GC = engine.prepare(load(struck_G))
        effects_K2F = np.zeros((len(self.kinds), 2, len(plan)))
        for number in range(len(self.network.sites)):
            rows = np.flatnonzero(plan.site_F == number)
            struck = Anchors.of(plan.take(rows), struck_G, golden_GC, labels_G)
            for place, effect in enumerate(surface.effects(struck)):
                effects_K2F[place][:, rows] = np.stack([effect.sdc.numpy(), effect.dloss.numpy()])
        sites = len(self.network.sites)
        draws = Draws(sites, plan.site_F, np.zeros(len(plan), np.int64), plan.image_F, plan.weight_F)
        places = [np.full(sites, 1 / sites), *np.eye(sites)]
        estimates = [SurfaceEstimates(draws, *effect) for effect in effects_K2F]
        return [([each.sdc_rate(of) for of in places], [each.mean_dloss(of) for of in places]) for each in estimates]

    def _load(self, image_G: np.ndarray) -> "Loader":
        return Loader(self.x_NCHW[torch.from_numpy(image_G)])


class Loader:
    """Returns images at positions."""

    def __init__(self, x_GCHW: Tensor) -> None:
        self.x_GCHW = x_GCHW

    def __call__(self, places: np.ndarray) -> Tensor:
        return self.x_GCHW[torch.from_numpy(places)]


if __name__ == "__main__":
    main()
