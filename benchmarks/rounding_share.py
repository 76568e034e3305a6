"""Print the largest rounding error of the engine delta relative to its allowance at the site.

python benchmarks/rounding_share.py MODEL … [--size 96] [--faults 8] [--threads 2]

The engine delta reruns faults whose outcome rounding could change. It measures the effect of rounding on the logits for
some faults at some sites, and allows for four times as much as at the nearest of these, and twice the largest. Here
faults at all sites (uniform, the papers' clamp, random weights, batch norm statistics of random images) are run by
delta without these reruns and by full. Their logits differ by rounding only; the largest difference / allowance is
printed, and the lowest and highest allowance. Above 1, an outcome could differ unnoticed.
"""

import argparse
from unittest.mock import patch

import torch
from injection_speed import NONE, calibrate, ranges

from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import Delta, FaultBatch, Full
from tgr_cli.faults.engines import delta as delta_module
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.models import zoo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    for name, default in (("size", 96), ("faults", 8), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.models:
        share, faults, allowed = measured(name, options.size, options.faults)
        print(
            f"{name}, {options.size} pixels: {share:.2f} of what is allowed at most, over {faults} faults;",
            f"allowed {min(allowed):.1e} to {max(allowed):.1e}",
            flush=True,
        )


def measured(name: str, size: int, faults: int) -> tuple[float, int, list[float]]:
    """Return the largest ratio, the number of faults, and delta's allowance for each."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = zoo.build(name, 1000).eval()
    x_NCHW = torch.randn(8, 3, size, size, generator=generator)
    calibrate(model, x_NCHW)
    network = Network.capture(model, x_NCHW.shape[1:], batch_size=8)
    corruption = Corruption(RangeLimit("clamp", ranges(network, x_NCHW)))
    full, delta = Full(model, network, NONE), Delta(model, network, NONE)
    golden_NC = full.prepare(x_NCHW)
    delta.prepare(x_NCHW)
    full.corruption = delta.corruption = corruption
    largest, count, allowed = 0.0, 0, []
    for place, site in enumerate(network.sites):
        if not delta.follows(site):
            continue
        drawn = [torch.randint(0, bound, (faults,), generator=generator) for bound in (8, site.neurons, 32)]
        right_FC = full.inject(FaultBatch(site, *drawn)).logits_FC
        with patch.object(
            delta_module, "doubtful", lambda golden_FC, *_: torch.zeros(len(golden_FC), dtype=torch.bool)
        ):
            found_FC = delta.inject(FaultBatch(site, *drawn)).logits_FC
        size_F = torch.maximum(right_FC.abs().amax(dim=1), golden_NC[drawn[0]].abs().amax(dim=1))
        difference_F = (found_FC - right_FC).abs().amax(dim=1) / size_F
        allowed_F = delta.rounding.at(place, golden_NC[drawn[0]].abs().amax(dim=1))
        allowed += allowed_F.tolist()
        largest = max(largest, float((difference_F.nan_to_num(0.0) / allowed_F).max()))
        count += faults
    return largest, count, allowed


if __name__ == "__main__":
    main()
