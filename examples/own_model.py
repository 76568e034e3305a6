"""A network of one's own with its weights and pictures, as own_model.sh hands them to tgr.

    python own_model.py        trains `build()` for some seconds, and writes my_digits/val/<class>/<number>.png and
                               own_model.safetensors into the current folder

Nothing of tgr is imported: it needs a function that returns the network, a checkpoint, and a folder of pictures.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn

SIDE = 8  # pixels


def build(num_classes: int = 10) -> nn.Module:
    """Return the network with random weights; tgr loads the checkpoint into it."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * (SIDE // 2) ** 2, num_classes),
    )


def write_pictures(folder: Path, pixels: np.ndarray, labels: np.ndarray) -> None:
    """Write each picture into the folder of its class."""
    for number, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        path = folder / str(label) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)


def main() -> None:
    """Train the network on three quarters of the digits, and write the others as pictures."""
    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    held_out = np.arange(len(pixels)) % 4 == 0
    write_pictures(Path("my_digits/val"), pixels[held_out], digits.target[held_out])

    torch.manual_seed(0)
    model, loss = build(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    # tgr prepares pictures by --mean 0.5 --std 0.5: from 0…255 to -1…1.
    x_NCHW = (torch.from_numpy(pixels[~held_out]).float() / 255 - 0.5)[:, None] / 0.5
    labels_N = torch.from_numpy(digits.target[~held_out])
    for step in range(120):
        chosen_B = torch.arange(step * 128, step * 128 + 128) % len(x_NCHW)
        optimizer.zero_grad()
        loss(model(x_NCHW[chosen_B]), labels_N[chosen_B]).backward()
        optimizer.step()
    save_file(model.state_dict(), "own_model.safetensors")


if __name__ == "__main__":
    main()
