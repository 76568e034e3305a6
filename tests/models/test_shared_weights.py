"""Real published weights load strictly; their accuracy is tested with `tgr evaluate`."""

from pathlib import Path

import pytest

from tgr_cli.artifacts.layout import Workspace
from tgr_cli.data.transforms import PreprocessingOptions
from tgr_cli.models.loading import load
from tgr_cli.models.source import ModelSource

# Parameters: torchvision's documentation for the first two; He et al., CVPR 2016, table 6 for the third (0.27 M).
REAL = {
    "squeezenet1_1": ("squeezenet1_1_imagenet.pth", 1000, 1_235_496),
    "mobilenet_v2": ("mobilenet_v2_imagenet_fp16.pth", 1000, 3_504_872),
    "resnet20": ("cifar10_resnet20.pth", 10, 269_722),
}


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_real_weights_load_strictly(shared_data: Path, name: str) -> None:
    file, number, params = REAL[name]
    classes = tuple(f"class {index}" for index in range(number))
    source = ModelSource(model=name, checkpoint=shared_data / "weights" / file)
    found = load(source, Workspace(Path("runs"), "x"), classes, preprocessing=PreprocessingOptions(), device="cpu")
    assert (found.params, found.head, found.num_classes) == (params, "baseline", number)
    assert all(parameter.dtype.itemsize == 4 for parameter in found.model.parameters())
