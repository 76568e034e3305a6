"""How far exported networks are from ONNX Runtime, and whether they have the sites that they have in PyTorch.

python benchmarks/onnx_agreement.py resnet20 torchvision:alexnet timm:test_vit --opset 17

Networks have random weights and 10 classes, and are exported by torch's older exporter, which needs no other package.
"""

import argparse
import tempfile
import warnings
from pathlib import Path

import torch

from tgr_cli.faults.hooked import capture
from tgr_cli.models import zoo
from tgr_cli.models.onnx_model import agreement, file, network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", help="names, as --model takes them")
    parser.add_argument("--opset", type=int, default=17)
    options = parser.parse_args()
    print("| model | opset | sites | as in PyTorch | difference |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            print(row(name, options.opset, Path(folder) / "network.onnx"), flush=True)


def row(name: str, opset: int, path: Path) -> str:
    """Return a network's line of the table; the difference is in multiples of the largest logit."""
    model, shape = zoo.build(name, 10).eval(), zoo.default_preprocessing(name).input_shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's age, and what it traces as a constant
        torch.onnx.export(
            model,
            (torch.rand(2, *shape),),
            path,
            dynamo=False,
            opset_version=opset,
            input_names=["images"],
            dynamic_axes={"images": {0: "n"}},
        )
    read = file.read(path)
    exported = network.OnnxNetwork(read)
    apart = agreement.refuse_differing(read, exported)
    ours, theirs = (
        [(site.op, site.shape, site.macs) for site in capture(each, shape, batch_size=2).sites]
        for each in (exported, model)
    )
    return f"| {name} | {opset} | {len(ours)} | {'yes' if ours == theirs else 'no'} | {apart:.1e} |"


if __name__ == "__main__":
    main()
