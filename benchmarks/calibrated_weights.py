"""Write random weights of a model whose batch norms hold the statistics of real images, as OUT.safetensors.

python benchmarks/calibrated_weights.py MODEL OUT --dataset D [--images 32] [--classes 1000]

With them a deep network passes signals on as a trained one does, so that engines can be compared where no trained
weights are to be had: tgr inject --model MODEL --checkpoint OUT --dataset D --all-images --label golden --verify 500
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
    """Give batch norms the statistics of these images."""
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
