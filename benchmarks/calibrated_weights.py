"""Write random weights of a model, with batch norm statistics of real images, to OUT.safetensors.

python benchmarks/calibrated_weights.py MODEL OUT --dataset D [--images 32] [--classes 1000]

With these statistics a deep network propagates signals as a trained one does. Engines can thus be compared on models
without available trained weights: tgr inject --model MODEL --checkpoint OUT --dataset D --all-images --label golden
--verify 500
"""

import argparse
from pathlib import Path

import torch
from torch import nn

from tgr_cli.data.datasets import DataSource, batches, open_split
from tgr_cli.data.transforms import evaluation
from tgr_cli.models import weights, zoo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--classes", type=int, default=1000)
    options = parser.parse_args()
    pool = open_split(DataSource(dataset=options.dataset), "eval").sample(options.images)
    pre = zoo.default_preprocessing(options.model)
    ((x_NCHW, _),) = batches(pool, evaluation(pre), batch_size=options.images)
    model = zoo.build(options.model, options.classes)
    calibrate(model, x_NCHW)
    weights.save(model, options.out)


def calibrate(model: nn.Module, x_NCHW: torch.Tensor) -> None:
    """Set the statistics of all batch norms to those of these images."""
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
            module.momentum = 1.0
    with torch.no_grad():
        model(x_NCHW)
    model.eval()


if __name__ == "__main__":
    main()
