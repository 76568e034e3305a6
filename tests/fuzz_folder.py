"""The folder that the fuzzer's inputs are drawn from: one file of every kind that a command reads."""

import json
import shlex
import struct
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from llm_server import serving
from toys import toy_net
from toys_artifacts import invoke, site, write_golden, write_injections
from toys_folder import TOY, fill_here

from tgr_cli.artifacts.parts import Parts

TRAIN = "train --model toys:build_toy --dataset parquet:toy --crop 8 --mean 0.5 --std 0.5 --images 8 --batch-size 8 -q"
KEPT = f"inject {TOY} --label golden -q --injections 2 --limit none --out kept.parquet"
ASK = (
    "describe --dataset parquet:toy --source llm --llm m --base-url {server} --yes --timeout 2 --questions question.txt"
)
SITES = (site("conv1", "conv", neurons=256, macs=2304), site("fc", neurons=3, macs=72))
COMMANDS = (
    f"inject {TOY} --label golden -q --injections 3 --plan-only --out plan.parquet",
    f"inject {TOY} --label golden -q --plan plan.parquet --shard 1/2 --out part-1.parquet",
    f"inject {TOY} --label golden -q --plan plan.parquet --shard 2/2 --out part-2.parquet",
    "top2diff-sweep --dataset mnist --golden runs/mnist/one/golden.parquet --out sweep.parquet -q",
    "compare one two --dataset mnist --out comparison.parquet -q",
    "describe --dataset parquet:toy --source template --out descriptions.parquet -q",
    "embed --dataset parquet:toy --init template --encoder tfidf --keep-all --out embedded.parquet -q",
    f"{TRAIN} --epochs 1 --out trained",
    f"{TRAIN} --epochs 1 --out begun",
)


def make_here() -> None:
    """Make all of it in the working folder."""
    fill_here()
    for name, seed in (("one", 0), ("two", 1)):
        _hand_made(Path(f"runs/mnist/{name}"), name, seed)
    Path("new").mkdir()
    _write_texts()
    for command in COMMANDS:
        _do(command)
    for path in Path("begun").iterdir():  # as a training of two epochs that was killed after the first leaves it
        path.rename("begun/checkpoint.pt") if path.name == "last.pt" else path.unlink()
    with pytest.MonkeyPatch.context() as patch:  # as a campaign that was killed before its end leaves it
        patch.setattr(Parts, "done", lambda parts: None)
        _do(KEPT)
    for path in Path().glob("kept*.*"):
        path.is_file() and path.unlink()
    with serving() as server:
        _do(f"{ASK} --out asked.parquet -q".format(server=server.url))
    _write_tensors()
    _write_mnist(Path("data/MNIST/raw"))


def _do(command: str) -> None:
    assert invoke(*shlex.split(command)).exit_code == 0, command


def _hand_made(folder: Path, name: str, seed: int) -> None:
    random = Random(seed)
    images = {letter: random.random() for letter in "abcdefgh"}
    write_golden(folder / "golden.parquet", images, wrong="b", run=name, model=f"{seed}" * 64)
    outcomes, struck = "nsmbsbsb", "abcdefgh"
    dloss = [None if letter == "n" else random.random() for letter in outcomes]
    write_injections(
        folder / "injections.parquet", [(facts, outcomes, struck, dloss) for facts in SITES], model=f"{seed}" * 64
    )


def _write_texts() -> None:
    Path("rows.txt").write_text("\n".join(map(str, range(10))))
    Path("row-names.txt").write_text("\n".join([*map(str, range(10)), "x", "y"]))
    Path("names.txt").write_text("dot\nbar\nring\n")
    Path("question.txt").write_text("What is {a_class}?\n")
    Path("questions.txt").write_text("What is {a_class}?\nHow does the {class} look?\n")
    Path("faults.csv").write_text("site,index,bit,image_id\nfc,0,3,toy/0.png\nconv1,1 2 3,30,toy/1.png\n")
    described = {name: [f"A {name} has a shape.", f"It looks like a {name}."] for name in ("dot", "bar", "ring")}
    Path("cupl.json").write_text(json.dumps(described))
    Path("cupl.csv").write_text("class,description,question\n" + "".join(f'{n},"A {n}, so.",q\n' for n in described))
    Path("prompts.toml").write_text(
        'templates = ["a photo of a {class}", "{a_class}"]\nquestions = ["What is {a_class}?"]\n'
        '[phrases]\ndot = "a dot"\n[aliases]\nspot = "dot"\n[descriptions]\n'
        + "".join(f'{name} = ["{texts[0]}"]\n' for name, texts in described.items())
    )
    Path("defaults.toml").write_text('seed = 3\nworkdir = "runs"\n[evaluate]\nbatch-size = 4\nmodel = "alexnet"\n')


def _write_tensors() -> None:
    torch.save(toy_net(1).state_dict(), "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(torch.ones(10, 4), "matrix.pth")
    np.save("rows.npy", np.ones((12, 4), dtype=np.float16))
    np.savez("matrix.npz", np.ones((10, 4), dtype=np.float32))


def _write_mnist(folder: Path) -> None:
    folder.mkdir(parents=True)
    for word, count in (("train", 2), ("t10k", 4)):
        pixels = struct.pack(">IIII", 0x803, count, 28, 28) + bytes(range(196)) * 4 * count
        (folder / f"{word}-images-idx3-ubyte").write_bytes(pixels)
        (folder / f"{word}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + bytes(range(count)))
