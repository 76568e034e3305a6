"""Small copies of the named data sets in the formats of torchvision's readers."""

import csv
import io
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import cifar, stl10

COUNT = {"train": 10, "test": 4}  # images a split


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_cifar(folder: Path, label_key: str, files: dict[str, int], meta: tuple[str, str], classes: int) -> None:
    folder.mkdir(parents=True)
    for number, (name, count) in enumerate(files.items()):
        batch = {"data": noise(number, count, 3072), label_key: [(number + i) % classes for i in range(count)]}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / meta[0]).write_bytes(pickle.dumps({meta[1]: [str(n) for n in range(classes)]}))


def write_mnist(folder: Path) -> None:
    folder.mkdir(parents=True)
    for word, count in (("train", COUNT["train"]), ("t10k", COUNT["test"])):
        pixels = noise(count, count, 28, 28)
        header = struct.pack(">IIII", 0x803, count, 28, 28)
        (folder / f"{word}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        labels = bytes(n % 10 for n in range(count))
        (folder / f"{word}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels)


def write_stl10(folder: Path) -> None:
    folder.mkdir(parents=True)
    for word, count in COUNT.items():
        (folder / f"{word}_X.bin").write_bytes(noise(count, count, 3, 96, 96).tobytes())
        (folder / f"{word}_y.bin").write_bytes(bytes(1 + n % 10 for n in range(count)))
    (folder / "unlabeled_X.bin").write_bytes(b"")


def write_food101(folder: Path, classes: tuple[str, ...]) -> None:
    (folder / "meta").mkdir(parents=True)
    for word, count in COUNT.items():
        names: dict[str, list[str]] = {name: [] for name in classes}
        for number in range(count):
            name = classes[number]
            path = folder / "images" / name / f"{word}{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(number, 20, 30, 3)).save(path)
            names[name].append(f"{name}/{word}{number}")
        (folder / "meta" / f"{word}.json").write_text(json.dumps(names))


def write_gtsrb(folder: Path) -> None:
    for number in range(COUNT["train"]):
        path = folder / "GTSRB" / "Training" / f"{number:05}" / "00000.ppm"
        path.parent.mkdir(parents=True)
        Image.fromarray(noise(number, 20, 22, 3)).save(path)
    with (folder / "GT-final_test.csv").open("w", newline="") as file:
        rows = csv.writer(file, delimiter=";")
        rows.writerow(["Filename", "ClassId"])
        rows.writerows([f"{number:05}.ppm", number] for number in range(COUNT["test"]))
    (folder / "GTSRB" / "Final_Test" / "Images").mkdir(parents=True)
    for number in range(COUNT["test"]):
        image = Image.fromarray(noise(90 + number, 18, 16, 3))
        image.save(folder / "GTSRB" / "Final_Test" / "Images" / f"{number:05}.ppm")


@pytest.fixture(scope="session")
def _stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("named")
    train = {f"data_batch_{n}": 2 for n in range(1, 6)}
    write_cifar(root / "cifar-10-batches-py", "labels", {**train, "test_batch": 4}, ("batches.meta", "label_names"), 10)
    write_cifar(root / "cifar-100-python", "fine_labels", {"train": 10, "test": 4}, ("meta", "fine_label_names"), 100)
    write_mnist(root / "MNIST" / "raw")
    write_mnist(root / "FashionMNIST" / "raw")
    write_stl10(root / "stl10_binary")
    write_food101(root / "food-101", ("apple_pie", "baby_back_ribs", *(f"class_{n:03}" for n in range(99))))
    write_gtsrb(root / "gtsrb")
    return root


@pytest.fixture
def named_root(_stand_ins: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a root with a small copy of each data set of torchvision; only its checksum tests are disabled."""
    for module in (cifar, stl10):
        monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: Path(path).is_file())
    return _stand_ins


@pytest.fixture
def png() -> bytes:
    """Return a small RGB picture as PNG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(noise(1, 6, 5, 3)).save(buffer, "PNG")
    return buffer.getvalue()
