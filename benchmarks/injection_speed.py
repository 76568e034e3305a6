"""Print faults per second of PyTorchFI, MRFI and tgr's engines, on the same model and faults, in one process.

python benchmarks/injection_speed.py MODEL … [--size 224] [--sites 12] [--faults 256] [--threads 2] [--memory 2GiB]

Weights are random, with batch norm statistics of random images; the limit is the papers' clamp. Faults are uniform over
the sites that PyTorchFI supports, or over --sites of them, evenly spaced in the network. There are 256 images, or as
many as fit into --memory. All use PyTorchFI's best batch size among --batch-sizes, which is measured first. Engines
alternate at each site, so that background load affects all equally. Engines with one forward pass per fault (PyTorchFI,
MRFI, full) run the first batch of each site's faults, replay two batches, auto all of them. Golden runs are timed
separately, since a campaign shares them among its faults.

`copied` is PyTorchFI unmodified, with a deep copy of the model per declaration; `reused` injects into one model, which
the package does not support. MRFI (pip install mrfi) has no range limit and flips without one. The limit in MACs is the
network's multiply-accumulates divided by those that auto executes per fault.

With --spread-uniform and --spread-importance (standard deviation / mean of a fault's contribution to the network's mean
dLoss, under each sampling), this also prints the time to a 99 % interval of ±5 %, for PyTorchFI with uniform sampling
and auto with importance sampling.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import Auto, Engine, FaultBatch, Full, PyTorchFI, Replay
from tgr_cli.faults.engines.memory import parsed
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.sites import Site
from tgr_cli.models import zoo

NONE = Corruption(RangeLimit("none", {}))
IMAGES = 256
Z99 = 2.576


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    for name, default in (("size", 224), ("sites", 12), ("faults", 256), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--memory", type=parsed, default=parsed("2GiB"))
    parser.add_argument("--spread-uniform", type=float)
    parser.add_argument("--spread-importance", type=float)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"torch {torch.__version__}, {options.threads} threads, {options.size} × {options.size} pixels; faults/s,",
        end=" ",
    )
    print("in brackets over PyTorchFI re-used")
    for name in options.models:
        measure(name, options)


@dataclass(frozen=True)
class Measured:
    """Measurements on one model: seconds, faults per site and golden seconds of each engine, and auto's MACs."""

    name: str
    network: Network
    seen: int
    sites: int
    images: int
    spent: dict[str, float]
    counts: dict[str, int]
    golden: dict[str, float]
    macs: float
    mrfi: str


def measure(name: str, options: argparse.Namespace) -> None:
    """Measure one model and print the results."""
    generator = torch.Generator().manual_seed(0)
    shape_CHW = (3, options.size, options.size)
    torch.manual_seed(0)
    model = zoo.build(name, 1000).eval()
    calibrate(model, torch.randn(8, *shape_CHW, generator=generator))
    batch_size = best_batch_size(model, shape_CHW, options.batch_sizes)
    network = Network.capture(model, shape_CHW, batch_size=batch_size)
    auto = Auto(model, network, NONE, memory=options.memory)
    x_NCHW = torch.randn(min(IMAGES, auto.images_at_once), *shape_CHW, generator=generator)
    peer = PyTorchFI(model, network, NONE)
    ready: dict[str, Engine] = {"copied": peer, "reused": peer, "full": Full(model, network, NONE)}
    ready |= {"replay": Replay(model, network, NONE, memory=options.memory), "auto": auto}
    golden = {kind: timed(partial(engine.prepare, x_NCHW)) for kind, engine in ready.items()}
    corruption = Corruption(RangeLimit("clamp", ranges(network, x_NCHW)))
    seen = [site for site in network.sites if site.name not in peer.unseen()]
    chosen = [
        seen[place * len(seen) // min(options.sites, len(seen))] for place in range(min(options.sites, len(seen)))
    ]
    mrfi = Mrfi(model, name, chosen)
    first = {
        "copied": batch_size,
        "reused": batch_size,
        "mrfi": batch_size,
        "full": batch_size,
        "replay": 2 * batch_size,
    }
    spent = dict.fromkeys(("copied", "reused", "mrfi", "full", "replay", "auto"), 0.0)
    counts = {kind: min(first.get(kind, options.faults), options.faults) for kind in spent}
    macs = 0.0
    for site in chosen:
        bounds = (len(x_NCHW), site.neurons, 32)
        drawn = [torch.randint(0, bound, (options.faults,), generator=generator) for bound in bounds]
        for kind in spent:
            strike = FaultBatch(site, *(values[: counts[kind]] for values in drawn))
            if kind == "mrfi":
                spent[kind] += mrfi.seconds(strike, x_NCHW)
                continue
            ready[kind].corruption = corruption
            for inner in (getattr(ready[kind], "_kept", None), getattr(ready[kind], "_full", None)):
                if inner is not None:
                    inner.corruption = corruption
            with uncopied() if kind == "reused" else nullcontext():
                spent[kind] += timed(partial(ready[kind].inject, strike))
        with FlopCounterMode(display=False) as counter:
            auto.inject(FaultBatch(site, *drawn))
        macs += counter.get_total_flops() / 2 / options.faults / len(chosen)
    report(
        Measured(name, network, len(seen), len(chosen), len(x_NCHW), spent, counts, golden, macs, mrfi.failure), options
    )


def report(found: "Measured", options: argparse.Namespace) -> None:
    """Print the results for one model."""
    rate = {kind: found.counts[kind] * found.sites / seconds for kind, seconds in found.spent.items() if seconds}
    forward = found.golden["full"] / found.images
    print(
        f"{found.name}: {found.sites} of {found.seen} sites, batches of {found.network.batch_size},",
        f"{found.images} images of {IMAGES}",
    )
    for kind, value in rate.items():
        print(
            f"  {kind:8s} {value:9.2f} ({value / rate['reused']:6.2f})  {value * forward:7.2f} a golden image-forward,",
            end="",
        )
        print(f" {found.counts[kind] * found.sites} faults")
    if found.mrfi:
        print(f"  mrfi     {found.mrfi}")
    whole = sum(site.macs for site in found.network.sites)
    print(f"  limit in MACs: auto {whole / found.macs:.1f}; golden run {forward * 1e3:.0f} ms an image,", end=" ")
    print(f"kept {found.golden['auto'] / found.images * 1e3:.0f} ms", flush=True)
    if options.spread_uniform and options.spread_importance:
        spreads = {"reused": options.spread_uniform, "auto": options.spread_importance}
        needed = {kind: (Z99 * spread / 0.05) ** 2 for kind, spread in spreads.items()}
        golden_all = {"reused": IMAGES * forward, "auto": IMAGES * found.golden["auto"] / found.images}
        seconds = {kind: golden_all[kind] + needed[kind] / rate[kind] for kind in spreads}
        print(
            f"  to ±5 % at 99 %: PyTorchFI, uniform {seconds['reused']:.0f} s ({needed['reused']:.0f} faults);", end=" "
        )
        gain = seconds["reused"] / seconds["auto"]
        print(f"auto, importance {seconds['auto']:.0f} s ({needed['auto']:.0f}); {gain:.0f} ×")


class Mrfi:
    """MRFI on a copy of the model: hooks on every module, flips enabled at one site at a time."""

    def __init__(self, model: nn.Module, name: str, sites: list[Site]) -> None:
        self.failure = ""
        try:
            import mrfi  # type: ignore[import-untyped]
        except ImportError as error:
            self.failure = f"not measured: {error}; pip install mrfi"
            return
        own = zoo.build(name, 1000).eval()
        own.load_state_dict(model.state_dict())
        config = {
            "type": "activation_out",
            "module_fullname": [site.name for site in sites],
            "enabled": False,
            "selector": {"method": "FixPositions", "positions": []},
            "error_mode": {"method": "FloatFixedBitFlip", "bit": []},
        }
        self._tool = mrfi.MRFI(own, mrfi.EasyConfig({"faultinject": [config]}))

    def seconds(self, strike: FaultBatch, x_NCHW: Tensor) -> float:
        """Return the seconds for one batch with a fault per row; 0 if MRFI fails, with the reason in `failure`."""
        if self.failure:
            return 0.0
        (found,) = self._tool.get_configs("activation_out.0", module_fullname=strike.site.name)
        positions_F = torch.arange(len(strike.rows_F)) * strike.site.neurons + strike.elements_F
        found.selector.args.raw_dict["positions"] = positions_F.tolist()
        found.error_mode.args.raw_dict["bit"] = strike.choices_F.tolist()
        found.enabled = True
        try:
            return timed(lambda: self._tool(x_NCHW[strike.rows_F]))
        except Exception as error:  # the package is unmaintained and may raise anything; report it
            self.failure = f"not measured: {type(error).__name__}: {error}"
            return 0.0
        finally:
            found.enabled = False


def best_batch_size(model: nn.Module, shape_CHW: tuple[int, ...], sizes: list[int]) -> int:
    """Return the batch size at which PyTorchFI, with its model reused, runs most faults per second."""
    rates = {}
    for size in sizes:
        peer = PyTorchFI(model, Network.capture(model, shape_CHW, batch_size=size), NONE)
        seen = [site for site in peer.network.sites if site.name not in peer.unseen()]
        peer.prepare(torch.randn(size, *shape_CHW, generator=torch.Generator().manual_seed(0)))
        zeros = torch.zeros(size, dtype=torch.int64)
        with uncopied():
            rates[size] = size / timed(partial(peer.inject, FaultBatch(seen[len(seen) // 2], zeros, zeros, zeros)))
    return max(rates, key=lambda size: rates[size])


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def calibrate(model: nn.Module, x_NCHW: Tensor) -> None:
    """Set the statistics of all batch norms to those of these images, so that random weights propagate activations."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in norms:
        module.train()
        module.momentum = 1.0
    with torch.no_grad():
        model(x_NCHW)
    model.eval()


def ranges(network: Network, x_NCHW: Tensor) -> dict[str, float]:
    """Return the largest absolute value of every site over one batch."""
    found: dict[str, float] = {}
    x_BCHW = x_NCHW[torch.arange(network.batch_size) % len(x_NCHW)]
    network.forward(x_BCHW, observe=lambda site, value: found.update({site.name: float(value.abs().max())}))
    return found


def uncopied() -> AbstractContextManager[object]:
    """Make PyTorchFI inject into its own model instead of a deep copy; it removes its hooks itself."""
    return patch("pytorchfi.core.copy.deepcopy", lambda value: value)


if __name__ == "__main__":
    main()
