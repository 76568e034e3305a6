"""Print faults per second of PyTorchFI and of tgr's engines, on the same model, images and faults, in one process.

python benchmarks/injection_speed.py MODEL … [--size 224] [--batch-size 16] [--faults 64] [--images 8] [--threads 2]

Random weights, batch norm statistics from random images, the papers' clamp. Every engine runs the same faults, drawn
uniformly over the sites that PyTorchFI sees too; sites are interleaved among the engines, so that whatever else the
machine does falls on all of them. Golden runs are shown apart: a campaign shares them among its faults. `reused` is
PyTorchFI with one injected model for all faults of a site, which its package does not offer: no copy is timed.
"""

import argparse
import time
from contextlib import AbstractContextManager, nullcontext
from unittest.mock import patch

import torch
from torch import nn

from tgr_cli.faults.engines import ENGINES, Engine, Strike
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.models import zoo

ORDER = ("pytorchfi", "reused", "full", "replay", "delta")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    for name, default in (("size", 224), ("batch-size", 16), ("faults", 64), ("images", 8), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads, {options.faults} faults a site, batches of", end=" ")
    print(f"{options.batch_size}, {options.size} × {options.size} pixels; faults/s, in brackets over PyTorchFI re-used")
    for name in options.models:
        measure(name, options)


def measure(name: str, options: argparse.Namespace) -> None:
    """Print one line on one model."""
    generator = torch.Generator().manual_seed(0)
    x_NCHW = torch.randn(options.images, 3, options.size, options.size, generator=generator)
    model = zoo.build(name, 1000).eval()
    calibrate(model, x_NCHW)
    network = Network.capture(model, x_NCHW.shape[1:], batch_size=options.batch_size)
    engines = {kind: ENGINES["pytorchfi" if kind == "reused" else kind] for kind in ORDER}
    ready = {kind: engine(model, network, NONE) for kind, engine in engines.items()}
    golden = {kind: timed(engine, "prepare", x_NCHW) for kind, engine in ready.items()}
    limit = RangeLimit("clamp", ranges(network, x_NCHW))
    seen = [site for site in network.sites if site.name not in ready["pytorchfi"].unseen()]
    spent = dict.fromkeys(ORDER, 0.0)
    for site in seen:
        bounds = (options.images, site.neurons, 32)
        strike = Strike(site, *(torch.randint(0, b, (options.faults,), generator=generator) for b in bounds))
        for kind, engine in ready.items():
            engine.limit = limit
            with uncopied() if kind == "reused" else nullcontext():
                spent[kind] += timed(engine, "inject", strike)
    faults = options.faults * len(seen)
    cells = [f"{kind} {faults / s:.2f} ({spent['reused'] / s:.1f})" for kind, s in spent.items()]
    share = sum(ready["replay"].share(site) for site in seen) / len(seen)  # type: ignore[attr-defined]
    print(f"{name}: {faults} faults at {len(seen)} sites; {', '.join(cells)}; golden run of the images", end=" ")
    print(f"{golden['full']:.2f} s, kept {golden['delta']:.2f} s; replay's limit in MACs {1 / share:.1f}", flush=True)


NONE = RangeLimit("none", {})


def timed(engine: Engine, method: str, argument: object) -> float:
    """Return the seconds that a method of the engine takes."""
    start = time.perf_counter()
    getattr(engine, method)(argument)
    return time.perf_counter() - start


def calibrate(model: nn.Module, x_NCHW: torch.Tensor) -> None:
    """Give batch norms the statistics of these images, so that random weights let activations through."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in norms:
        module.train()
        module.momentum = 1.0
    with torch.no_grad():
        model(x_NCHW)
    model.eval()


def ranges(network: Network, x_NCHW: torch.Tensor) -> dict[str, float]:
    """Return the largest absolute value of every site on as many images as a batch takes."""
    found: dict[str, float] = {}
    x_BCHW = x_NCHW[torch.arange(network.batch_size) % len(x_NCHW)]
    network.forward(x_BCHW, observe=lambda site, value: found.update({site.name: float(value.abs().max())}))
    return found


def uncopied() -> AbstractContextManager[object]:
    """Let PyTorchFI inject into the model that it holds instead of a copy of it; it takes its hooks off by itself."""
    return patch("pytorchfi.core.copy.deepcopy", lambda value: value)


if __name__ == "__main__":
    main()
