"""Populations for simulated campaigns: dLoss of all faults at selected elements of real sites, stored as .npz.

At three sites (the first, middle and last) every bit of some elements, chosen at random for each image, is flipped. All
faults are run in the same images under two range limits: `clamp` is the population of the campaigns, `zero` the other
side of improvement factors.

Suffixes: N images, Q faults of an image.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tgr_cli.campaign import profiling
from tgr_cli.campaign.labelled import LabelledPool
from tgr_cli.campaign.subject import Subject
from tgr_cli.data.datasets import DataSource
from tgr_cli.data.transforms import PreprocessingOptions
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import Auto, FaultBatch
from tgr_cli.faults.formats import width
from tgr_cli.faults.gradients import Gradients, graph_of
from tgr_cli.faults.limits import LimitMode, RangeLimit
from tgr_cli.faults.sites import Site
from tgr_cli.metrics.outcomes import judge
from tgr_cli.models.source import ModelSource
from tgr_cli.reporting import SILENT
from tgr_cli.steps import inject

LIMITS: tuple[LimitMode, ...] = ("clamp", "zero")
NAMES = ("change_NQ", "slope_NQ", "dloss_NQ", "outcome_NQ")
POOL = 512  # images to choose from
PROFILED = 1024


@dataclass(frozen=True)
class Population:
    """The faults of one site, arrays [N, Q]; an image's faults are all bits of its elements, in order.

    `change_NQ` is |δ| of the value after the limit and `slope_NQ` is |g δ|, with the gradient g of the loss. `doubt_N`
    is 1 - Top2Diff of the golden run, and `logits` says whether the site gives the logits.
    """

    site: str
    bits: int
    logits: bool
    doubt_N: np.ndarray
    change_NQ: np.ndarray
    slope_NQ: np.ndarray
    dloss_NQ: np.ndarray
    outcome_NQ: np.ndarray


def load(path: Path) -> dict[str, list[Population]]:
    """Return the populations of the sites, in order, by range limit."""
    with np.load(path) as stored:
        sites, bits = [str(name) for name in stored["sites"]], int(stored["bits"])
        return {
            limit: [
                Population(
                    site,
                    bits,
                    bool(stored["logits"][number]),
                    stored["doubt_N"],
                    *(stored[f"{limit} {number} {name}"] for name in NAMES),
                )
                for number, site in enumerate(sites)
            ]
            for limit in LIMITS
        }


def make(
    path: Path,
    model: str,
    checkpoint: Path,
    dataset: str,
    profile_on: Path,
    *,
    images: int = 128,
    elements: int = 64,
    seed: int = 0,
) -> None:
    """Run all faults of the populations and write the results to `path`."""
    subject = _subject(model, checkpoint, dataset)
    pool = LabelledPool(subject, "true", everything=False)
    labels_N, eligible_N, doubt_N = pool.labels, pool.eligible, pool.doubt
    random = np.random.default_rng(seed)
    chosen_N = np.sort(random.permutation(np.flatnonzero(eligible_N))[:images])
    network = subject.network("conv,linear")
    ranges = profiling.profile(_profiled(subject, profile_on), network)
    max_abs = dict(zip(ranges["site"], ranges["max_abs"], strict=True))
    x_NCHW, labels = subject.load(chosen_N), torch.from_numpy(labels_N[chosen_N])
    bits = width(subject.dtype)
    sites = [network.sites[0], network.sites[len(network.sites) // 2], network.sites[-1]]
    columns: dict[str, np.ndarray] = {
        "sites": np.array([site.name for site in sites]),
        "bits": np.array(bits),
        "logits": np.array([Gradients(graph_of(network)).gives_logits(site.name) for site in sites]),
        "doubt_N": doubt_N[chosen_N],
    }
    gradient = {site.name: _gradient(subject.loaded.model, site, x_NCHW, labels) for site in sites}
    engines = {limit: Auto(subject.loaded.model, network, Corruption(RangeLimit(limit, max_abs))) for limit in LIMITS}
    golden_NC = next(reversed([engine.prepare(x_NCHW) for engine in engines.values()]))
    for number, site in enumerate(sites):
        count = min(elements, site.neurons)
        element_NE = np.stack([random.permutation(site.neurons)[:count] for _ in range(len(chosen_N))])
        struck = FaultBatch(
            site=site,
            rows_F=torch.arange(len(chosen_N)).repeat_interleave(count * bits),
            elements_F=torch.from_numpy(element_NE).reshape(-1).repeat_interleave(bits),
            choices_F=torch.arange(bits).repeat(len(chosen_N) * count),
        )
        earlier: dict[str, np.ndarray] = {}
        flipped_F = torch.zeros(0)
        for limit, engine in engines.items():
            if earlier:  # rerun only the faults that the other limit changes
                after_F = engine.corruption.limit.apply(site.name, flipped_F).double().numpy()
                moved_F = np.flatnonzero(after_F != earlier["after_F"])
            else:
                moved_F = np.arange(len(struck.rows_F))
            places = torch.from_numpy(moved_F)
            some = FaultBatch(site, struck.rows_F[places], struck.elements_F[places], struck.choices_F[places])
            found = engine.inject(some)
            judged = judge(golden_NC[some.rows_F], found.logits_FC, labels[some.rows_F])
            change_F = (found.after_F.double() - found.before_F.double()).abs()
            slope_F = change_F * gradient[site.name][some.rows_F, some.elements_F].abs()
            values = {
                "after_F": found.after_F.double().numpy(),
                "change_NQ": change_F.numpy(),
                "slope_NQ": slope_F.numpy(),
                "dloss_NQ": judged.dloss,
                "outcome_NQ": judged.outcome.astype("U10"),
            }
            if not earlier:
                earlier, flipped_F = values, found.flipped_F
            now = {name: kept_F.copy() for name, kept_F in earlier.items()}
            for name, value_F in values.items():
                now[name][moved_F] = value_F
            for name in NAMES:
                columns[f"{limit} {number} {name}"] = now[name].reshape(len(chosen_N), count * bits)
    np.savez_compressed(path, allow_pickle=False, **columns)


def _subject(model: str, checkpoint: Path, dataset: str) -> Subject:
    config = inject.Config(
        data=DataSource(dataset=dataset),
        preprocessing=PreprocessingOptions(),
        source=ModelSource(model=model, checkpoint=checkpoint),
        images=POOL,
        batch_size=64,
    )
    return Subject.open(config, SILENT)


def _profiled(subject: Subject, path: Path) -> Subject:
    images = profiling.split(DataSource(dataset=f"parquet:{path}"))
    return Subject(subject.settings, images.sample(PROFILED), subject.loaded, SILENT)


def _gradient(model: nn.Module, site: Site, x_NCHW: Tensor, labels_N: Tensor) -> Tensor:
    """Return the gradient of the loss with respect to the site's output, float64 [N, neurons]."""
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    handle = model.get_submodule(site.name).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            loss = nn.functional.cross_entropy(model(x_NCHW.requires_grad_()), labels_N, reduction="sum")
            loss.backward()
    finally:
        handle.remove()
        model.zero_grad(set_to_none=True)
        x_NCHW.requires_grad_(False)
    (output,) = kept
    assert output.grad is not None
    return output.grad.reshape(len(x_NCHW), -1).double()


def toy(images: int = 64, elements: int = 32) -> dict[str, list[Population]]:
    """Return synthetic populations with dLoss given by a formula, in the form of `load`.

    Images differ in sensitivity, elements in their gradient; the change doubles from bit to bit. dLoss is a convex,
    bounded function of the slope; above 1 it is an SDC. At the third site, which has the largest changes, the top bit
    of every eighth element gives non-finite logits. An image's doubt is its sensitivity times a random factor.
    """
    bits, random = 16, np.random.default_rng(1)
    image_N11, element_NM1 = random.gamma(2, 0.5, (images, 1, 1)), random.gamma(0.5, 2, (images, elements, 1))
    place_B = np.arange(bits)
    doubt_N = np.minimum(image_N11.ravel() * random.gamma(4, 0.25, images), 3.0) / 3
    found: dict[str, list[Population]] = {limit: [] for limit in LIMITS}
    for number, scale in enumerate((0.05, 0.2, 2.0)):
        for limit, top in zip(LIMITS, (1.0, 0.25), strict=True):
            change_NMB = np.broadcast_to(np.minimum(2.0 ** (place_B - bits + 1), top), (images, elements, bits))
            slope_NMB = scale * image_N11 * element_NM1 * change_NMB
            dloss_NMB = np.minimum(slope_NMB + slope_NMB**2, 8.0)
            outcome_NMB = np.where(dloss_NMB > 1, "sdc", "benign").astype("U10")
            if number == 2:
                outcome_NMB[:, ::8, -1] = "non_finite"
                dloss_NMB[:, ::8, -1] = np.nan
            shape = (images, elements * bits)
            arrays = (array.reshape(shape) for array in (change_NMB, slope_NMB, dloss_NMB, outcome_NMB))
            found[limit].append(Population(f"toy {number + 1}", bits, number == 2, doubt_N, *arrays))
    return found
