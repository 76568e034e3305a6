"""Print what it costs to round the output of every site to a number format, against the plain forward pass.

python benchmarks/format_emulation.py FORMAT … [--model resnet18] [--size 224] [--batch-size 8] [--rounds 3]

The network (torchvision's, random weights) is captured once and deployed in each format; scales are fitted to the
values of the batch itself. Plain and deployed passes take turns on one thread, after one of each that is not timed.
Printed are seconds of the processor, which other work on the machine disturbs less than the clock's: of the fastest
plain pass, and for each format the fastest pass over it, with the ratio of every round.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from tgr_cli.faults.deploying import deployment_of
from tgr_cli.faults.formats import format_named
from tgr_cli.faults.graph import Network
from tgr_cli.models import zoo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("formats", nargs="+")
    parser.add_argument("--model", default="resnet18")
    for name, default in (("size", 224), ("batch-size", 8), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = zoo.build(options.model, 1000).eval()
    x_BCHW = torch.randn(options.batch_size, 3, options.size, options.size)
    network = Network.capture(model, x_BCHW.shape[1:], batch_size=options.batch_size)
    ranges: dict[str, tuple[float, float]] = {}
    network.forward(x_BCHW, observe=lambda site, v: ranges.update({site.name: (float(v.min()), float(v.max()))}))
    values = sum(site.neurons for site in network.sites)
    print(f"{options.model}, {options.batch_size} images of {options.size} pixels, {values:,} values an image at sites")
    for name in options.formats:
        deployed = network.deployed(deployment_of(network, format_named(name), None, ranges))
        plain, rounded = timed(network.forward, deployed.forward, x_BCHW, options.rounds)
        ratios = ", ".join(f"{ours / theirs:.2f}" for theirs, ours in zip(plain, rounded, strict=True))
        extra = (min(rounded) - min(plain)) / (values * options.batch_size)
        print(
            f"{name}: {min(plain):.3f} s plain, {min(rounded) / min(plain):.2f} times that ({ratios}), "
            f"{extra * 1e9:.1f} ns a value",
            flush=True,
        )


def timed(
    plain: Callable[[Tensor], Tensor], deployed: Callable[[Tensor], Tensor], x_BCHW: Tensor, rounds: int
) -> tuple[list[float], list[float]]:
    """Return the seconds of each plain and each deployed pass."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for forward, taken in zip((plain, deployed), seconds, strict=True):
            start = time.process_time()
            forward(x_BCHW)
            if number:  # the first passes allocate memory and choose kernels
                taken.append(time.process_time() - start)
    return seconds


if __name__ == "__main__":
    main()
