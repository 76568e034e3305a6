"""Small things that behave like the large ones: a network, and images of three classes."""

import io
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import nn
from torchvision.transforms.v2 import functional as tv

CLASSES = ("dot", "bar", "ring")


class ToyNet(nn.Module):
    """Two convolutions and a linear layer on 1×8×8 images: 4×8×8, 6×4×4 and `num_classes` neurons."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(6 * 2 * 2, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        return self.fc(torch.flatten(x, 1))


def toy_net(seed: int = 0, num_classes: int = 3) -> ToyNet:
    """Return a ToyNet whose weights depend on `seed` alone, in evaluation mode; no global generator moves."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return ToyNet(num_classes).eval()


class ScaledToyNet(ToyNet):
    """Logits times a parameter that is one number, without axes."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__(num_classes)
        self.logit_scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * self.logit_scale


def build_scaled_toy(num_classes: int = 3) -> nn.Module:
    """The scaled toy as a user's own model, with the toy's weights: `--model toys:build_scaled_toy`."""
    model = ScaledToyNet(num_classes).eval()
    model.load_state_dict(toy_net(0, num_classes).state_dict(), strict=False)
    return model


def build_toy(num_classes: int = 3) -> nn.Module:
    """The toy as a user's own model: `--model toys:build_toy`."""
    return toy_net(0, num_classes)


def toy_images(count: int = 30, seed: int = 0) -> tuple[list[Image.Image], list[int]]:
    """Return noisy 8×8 grey images of a dot, a bar and a ring, with their labels 0, 1, 2 in turn."""
    random = np.random.default_rng(seed)
    images, labels = [], []
    for number in range(count):
        label = number % 3
        pixels = np.zeros((8, 8))
        if label == 0:
            pixels[3:5, 3:5] = 1
        elif label == 1:
            pixels[:, 3:5] = 1
        else:
            pixels[1:7, 1:7] = 1
            pixels[3:5, 3:5] = 0
        pixels = np.clip(pixels * 0.8 + 0.2 * random.random((8, 8)), 0, 1)
        images.append(Image.fromarray((pixels * 255).astype(np.uint8)))
        labels.append(label)
    return images, labels


def toy_tensors(count: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the toy images of seed 2 as a network takes them, [N, 1, 8, 8], and their labels."""
    images, labels = toy_images(count, seed=2)
    pixels_NCHW = torch.stack([tv.pil_to_tensor(image) for image in images])
    return tv.normalize(tv.to_dtype(pixels_NCHW, torch.float32, scale=True), [0.5], [0.25]), torch.tensor(labels)


def write_toy_parquet(path: Path, count: int = 30, seed: int = 0) -> Path:
    """Write the toy images as the `parquet:` data set expects them: PNG bytes, label, path; classes in metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_toy_parquet(count, seed))
    return path


@cache
def _toy_parquet(count: int, seed: int) -> bytes:
    images, labels = toy_images(count, seed)
    encoded = []
    for image in images:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    table = pa.table(
        {"image": encoded, "label": pa.array(labels, pa.int64()), "path": [f"toy/{n}.png" for n in range(count)]}
    ).replace_schema_metadata({"classes": "\n".join(CLASSES)})
    written = io.BytesIO()
    pq.write_table(table, written)
    return written.getvalue()


def write_toy_dataset(folder: Path) -> Path:
    """Write train.parquet (60 images) and test.parquet (30) into `folder`, for `--dataset parquet:FOLDER`."""
    write_toy_parquet(folder / "train.parquet", 60, seed=1)
    write_toy_parquet(folder / "test.parquet", 30, seed=2)
    return folder
