"""Commands that must be refused, and ways to spoil the folder they run in."""

import io
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from toys import CLASSES, toy_net
from toys_artifacts import write_golden
from toys_folder import RUN, TOY


@dataclass(frozen=True)
class Case:
    """A command that must be refused: its arguments, words of the sentence, how the folder is spoilt first."""

    name: str
    arguments: str
    words: tuple[str, ...]
    spoil: Callable[[], object] | None = None
    code: int = 1


class Malice:
    """A pickle of it makes a file when it is loaded."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("executed"),)


def malicious() -> None:
    torch.save({"conv1.weight": torch.zeros(1), "payload": Malice()}, "bad.pt")
    assert pickle.loads(pickle.dumps(Malice())) is None  # it would work …
    Path("executed").unlink()  # … and shows if it did


def malicious_matrix() -> None:
    np.save("bad.npy", np.array([Malice()], dtype=object), allow_pickle=True)


def cut(path: Path | str, to: Path | str | None = None) -> None:
    content = Path(path).read_bytes()
    Path(to or path).write_bytes(content[: len(content) // 2])


def weights_with_nan() -> None:
    state = toy_net().state_dict()
    state["conv2.weight"][0, 0, 0, 0] = torch.nan
    torch.save(state, "bad.pt")


def only_fc() -> None:
    table = pq.read_table(RUN / "ranges.parquet")
    pq.write_table(table.slice(2), RUN / "ranges.parquet")


def picture(content: bytes | None = None, label: int = 0, count: int = 1) -> None:
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "PNG")
    pictures = pa.array([content or buffer.getvalue()] * count, pa.binary())
    table = pa.table({"image": pictures, "label": pa.array([label] * count, pa.int64())})
    pq.write_table(table.replace_schema_metadata({"classes": "\n".join(CLASSES)}), "toy/test.parquet")


def write(path: str, text: str) -> Callable[[], object]:
    def spoil() -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")

    return spoil


def copy(source: str, target: str) -> Callable[[], object]:
    def spoil() -> None:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)

    return spoil


def fault(site: str = "fc", index: str = "0", bit: str = "3", image: str = "toy/0.png") -> Callable[[], object]:
    return write("faults.csv", f"site,index,bit,image_id\n{site},{index},{bit},{image}\n")


def edited_record(edit: Callable[[dict], object]) -> None:
    record = json.loads((path := RUN / "golden.run.json").read_text())
    edit(record)
    path.write_text(json.dumps(record))


def other_run() -> None:
    write_golden(Path("runs/toy/other/golden.parquet"), {"a": 0.5}, run="other", model="f" * 64, classes="0" * 64)
    for name in ("injections", "vulnerability"):
        shutil.copy(RUN / f"{name}.parquet", f"runs/toy/other/{name}.parquet")


def model_file(body: str) -> Callable[[], object]:
    return write("spoilt.py", f"import torch\nfrom torch import nn\nfrom toys import ToyNet\n\n{body}\n")


def forward(result: str) -> Callable[[], object]:
    """Return what writes a user's model whose forward gives `result`, an expression in the toy's logits `y`."""
    return model_file(
        f"class build(ToyNet):\n    def forward(self, x):\n        y = super().forward(x)\n        return {result}"
    )


TWO_HEADS = "--model digits_cnn --dataset digits"
EVALUATE, PROFILE, INJECT = f"evaluate {TOY}", f"profile-ranges {TOY}", f"inject {TOY} --injections 2 --out own.parquet"
TRAIN = "train --model toys:build_toy --dataset parquet:toy --crop 8 --mean 0.5 --std 0.5 --epochs 1"
SPOILT = f"{EVALUATE} --quiet --weights none".replace("toys:build_toy", "spoilt:build")
LISTED = f"inject {TOY} --out own.parquet"
SPOILT_INJECT = SPOILT.replace("evaluate", "inject --label golden --injections 2")
ASKED = "describe --dataset parquet:toy --source llm --llm m --base-url http://127.0.0.1:9/v1 --out d.parquet"
WEIGHTS = "model.safetensors"
WITHOUT_SITES = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x.flatten(1)[:, :3] * self.scale
"""
