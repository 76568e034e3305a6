"""What users do wrong: one sentence on stderr, exit 1 or 2 (3 for a gate), and nothing written or changed.

Every case runs the entry point in a copy of one prepared folder, and compares its files before and after.
"""

import io
import json
import os
import pickle
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from processes import tgr
from toys import CLASSES, toy_net
from toys_artifacts import invoke, write_golden
from toys_folder import RUN, TOY, files, fill_here

from tgr_cli import app
from tgr_cli.models import weights

TWO_HEADS = "--model digits_cnn --dataset digits"


@dataclass(frozen=True)
class Case:
    """A command that must be refused: its arguments, words of the sentence, how the folder is spoilt first."""

    name: str
    arguments: str
    words: tuple[str, ...]
    spoil: Callable[[], object] | None = None
    code: int = 1


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the toy data set, a whole run of the toy network on it, and a model with two heads."""
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fill_here()
    return folder


class _Malice:
    """A pickle of it makes a file when it is loaded."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("executed"),)


def _malicious() -> None:
    torch.save({"conv1.weight": torch.zeros(1), "payload": _Malice()}, "bad.pt")
    assert pickle.loads(pickle.dumps(_Malice())) is None  # it would work …
    Path("executed").unlink()  # … and shows if it did


def _malicious_matrix() -> None:
    np.save("bad.npy", np.array([_Malice()], dtype=object), allow_pickle=True)


def _cut(path: Path | str, to: Path | str | None = None) -> None:
    content = Path(path).read_bytes()
    Path(to or path).write_bytes(content[: len(content) // 2])


def _weights_with_nan() -> None:
    state = toy_net().state_dict()
    state["conv2.weight"][0, 0, 0, 0] = torch.nan
    torch.save(state, "bad.pt")


def _only_fc() -> None:
    table = pq.read_table(RUN / "ranges.parquet")
    pq.write_table(table.slice(2), RUN / "ranges.parquet")


def _picture(content: bytes | None = None, label: int = 0, count: int = 1) -> None:
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "PNG")
    pictures = pa.array([content or buffer.getvalue()] * count, pa.binary())
    table = pa.table({"image": pictures, "label": pa.array([label] * count, pa.int64())})
    pq.write_table(table.replace_schema_metadata({"classes": "\n".join(CLASSES)}), "toy/test.parquet")


def _write(path: str, text: str) -> Callable[[], object]:
    def spoil() -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")

    return spoil


def _copy(source: str, target: str) -> Callable[[], object]:
    def spoil() -> None:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)

    return spoil


def _fault(site: str = "fc", index: str = "0", bit: str = "3", image: str = "toy/0.png") -> Callable[[], object]:
    return _write("faults.csv", f"site,index,bit,image_id\n{site},{index},{bit},{image}\n")


def _edited_record(edit: Callable[[dict], object]) -> None:
    record = json.loads((path := RUN / "golden.run.json").read_text())
    edit(record)
    path.write_text(json.dumps(record))


def _other_run() -> None:
    write_golden(Path("runs/toy/other/golden.parquet"), {"a": 0.5}, run="other", model="f" * 64, classes="0" * 64)
    for name in ("injections", "vulnerability"):
        shutil.copy(RUN / f"{name}.parquet", f"runs/toy/other/{name}.parquet")


def _model_file(body: str) -> Callable[[], object]:
    return _write("spoilt.py", f"import torch\nfrom torch import nn\nfrom toys import ToyNet\n\n{body}\n")


def _forward(result: str) -> Callable[[], object]:
    """Return what writes a user's model whose forward gives `result`, an expression in the toy's logits `y`."""
    return _model_file(
        f"class build(ToyNet):\n    def forward(self, x):\n        y = super().forward(x)\n        return {result}"
    )


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
CASES = [
    # data
    Case("wrong data set", "evaluate --model alexnet --dataset cifar1O", ("cifar1O", 'Did you mean "cifar10"?')),
    Case("a path for a data set", "evaluate --model alexnet --dataset toy", ("parquet:toy",)),
    Case(
        "missing data set",
        "evaluate --model resnet20 --dataset cifar10 --data-root nowhere",
        ("nowhere", "--download", "--data-root"),
    ),
    Case("missing imagenet", "evaluate --model alexnet --data-root nowhere", ("nowhere", "imagenet")),
    Case("missing folder", "evaluate --model alexnet --dataset imagefolder:nowhere", ("nowhere", "folder")),
    Case("truncated images", EVALUATE, ("test.parquet", "truncated"), lambda: _cut("toy/test.parquet")),
    Case(
        "an artifact for images", EVALUATE, ("no column image",), _copy(str(RUN / "golden.parquet"), "toy/test.parquet")
    ),
    Case("no image", EVALUATE, ("holds no image",), lambda: _picture(count=0)),
    Case("empty image folder", "evaluate --model alexnet --dataset imagefolder:empty", ("empty",), Path("empty").mkdir),
    Case(
        "no image in the folders",
        "evaluate --model alexnet --weights none --dataset imagefolder:empty",
        ("holds no image",),
        lambda: Path("empty/dot").mkdir(parents=True),
    ),
    Case("undecodable image", EVALUATE, ("test/0", "mend or remove"), lambda: _picture(b"no picture")),
    Case("label out of range", EVALUATE, ("label 3", "0 to 2"), lambda: _picture(label=3)),
    Case("negative label", EVALUATE, ("label -1", "0 to 2"), lambda: _picture(label=-1)),
    Case(
        "too few class names",
        f"{EVALUATE} --class-names names.txt",
        ("2 names", "3 classes"),
        _write("names.txt", "dot\nbar\n"),
    ),
    Case("no class names", f"{EVALUATE} --class-names names.txt", ("names.txt", "is empty"), _write("names.txt", "\n")),
    Case("no split to train on", TRAIN.replace("parquet:toy", "parquet:toy/test.parquet"), ("has no training images",)),
    Case("crop of no image", f"evaluate {TOY.replace('--crop 8', '--crop 8 --resize 4')}", ("--resize", "--crop")),
    Case("means that are no numbers", EVALUATE.replace("--mean 0.5", "--mean x"), ("--mean", "x")),
    Case("deviation of zero", EVALUATE.replace("--std 0.5", "--std 0"), ("--std",)),
    # models and weights
    Case("wrong model", "sites --model alexnte", ("alexnte", 'Did you mean "alexnet"?')),
    Case("no such module", "sites --model no_such_module:build", ("no_such_module", "cannot be imported")),
    Case(
        "broken module",
        "sites --model spoilt:build",
        ("cannot be imported", "boom"),
        _model_file("raise OSError('boom')"),
    ),
    Case("no function", "sites --model toys:build_toi", ("build_toi", 'Did you mean "build_toy"?')),
    Case("no module returned", "sites --model toys:toy_images", ("tuple", "nn.Module")),
    Case("sites of grey images", "sites --model toys:build_toy --crop 8", ("3×8×8", "to have 1 channels", "--mean")),
    Case("sites of too small images", "sites --model alexnet --crop 8", ("alexnet fails", "3×8×8", "--crop")),
    Case("module that exits", "sites --model spoilt:build", ("SystemExit",), _model_file("raise SystemExit(0)")),
    Case(
        "function that exits",
        "sites --model spoilt:exit",
        ("SystemExit",),
        _model_file("exit = __import__('sys').exit"),
    ),
    Case(
        "model without values",
        SPOILT,
        ("without values", "conv1.weight"),
        _model_file("def build():\n    with torch.device('meta'):\n        return ToyNet()"),
    ),
    Case(
        "model with lazy weights",
        SPOILT,
        ("without values", "1.weight"),
        _model_file("build = lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(3))"),
    ),
    Case("model that answers a dict", SPOILT, ("dict", "logits"), _forward("{'logits': y}")),
    Case("model of other classes", SPOILT, ("(1, 2)", "(1, 3)"), _forward("y[:, :2]")),
    Case("model with NaN logits", SPOILT, ("toy/0.png", "not finite"), _forward("y / 0 * 0")),
    Case("model that fails", SPOILT, ("division by zero", "--resize"), _forward("1 / 0")),
    Case("random model", SPOILT, ("differently", "dropout"), _forward("y + torch.rand_like(y)")),
    Case("model without sites", f"{SPOILT_INJECT} --limit none", ("no site",), _model_file(WITHOUT_SITES)),
    Case(
        "model that cannot be traced",
        f"{SPOILT_INJECT} --limit none",
        ("torch.export",),
        _forward("y if y.sum() > 0 else -y"),
    ),
    Case(
        "training in half precision",
        TRAIN.replace("toys:build_toy", "spoilt:build"),
        ("torch.float16", "torch.float32"),
        _model_file("build = lambda: ToyNet().half()"),
    ),
    Case("missing checkpoint", f"{EVALUATE} --checkpoint nowhere.pt", ("nowhere.pt", "does not exist")),
    Case(
        "checkpoint of another model",
        f"{EVALUATE} --checkpoint runs/digits/digits_cnn-baseline/model.safetensors",
        ("does not fit", "conv3.bias", "--model"),
    ),
    Case(
        "checkpoint of other classes",
        "evaluate --model toys:build_toy --dataset digits --checkpoint toy.pt",
        ("10", "3"),
    ),
    Case(
        "device for a checkpoint", f"{EVALUATE} --checkpoint /dev/null", ("/dev/null is a device", "safetensors file")
    ),
    Case("folder for a checkpoint", f"{EVALUATE} --checkpoint toy", ("toy is a folder", "safetensors file")),
    Case("malicious checkpoint", f"{EVALUATE} --checkpoint bad.pt", ("unpickle", "safetensors"), _malicious),
    Case("truncated checkpoint", f"{EVALUATE} --checkpoint bad.pt", ("truncated",), lambda: _cut("toy.pt", "bad.pt")),
    Case(
        "truncated safetensors",
        EVALUATE,
        ("model.safetensors", "not a whole"),
        lambda: _cut(RUN / "model.safetensors"),
    ),
    Case("text for a checkpoint", f"{EVALUATE} --checkpoint bad.pt", ("neither",), _write("bad.pt", "weights")),
    Case("NaN weights", f"{EVALUATE} --checkpoint bad.pt", ("NaN", "conv2.weight"), _weights_with_nan),
    Case(
        "weights changed behind the card",
        EVALUATE,
        ("fingerprint",),
        lambda: weights.save(toy_net(2), RUN / "model.safetensors"),
    ),
    Case("broken card", EVALUATE, ("model.json",), _write(str(RUN / "model.json"), "{")),
    Case("two heads", f"evaluate {TWO_HEADS}", ("digits_cnn-baseline, digits_cnn-cosine", "--head")),
    Case("unknown head", f"evaluate {TWO_HEADS} --head texts", ("texts", "baseline, cosine, text")),
    Case("head never trained", f"evaluate {TWO_HEADS} --head text", ("digits_cnn-baseline", "--head")),
    Case("checkpoint and weights", f"{EVALUATE} --checkpoint toy.pt --weights none", ("--checkpoint", "--weights")),
    Case("unknown device", f"{EVALUATE} --device gpu", ("gpu", "cuda")),
    # artifacts
    Case("truncated artifact", INJECT, ("ranges.parquet", "truncated"), lambda: _cut(RUN / "ranges.parquet")),
    Case(
        "artifact of another kind",
        INJECT,
        ('kind "golden"', '"ranges"', "profile-ranges"),
        _copy(str(RUN / "golden.parquet"), str(RUN / "ranges.parquet")),
    ),
    Case("foreign Parquet", "show toy/test.parquet", ("did not write",)),
    Case("missing artifact", "show nowhere.parquet", ("nowhere.parquet", "does not exist")),
    Case("a picture for an artifact", "show pictures/dot/0.png", ("not a whole Parquet file",)),
    Case(
        "broken run record",
        f"show {RUN / 'golden.parquet'}",
        ("golden.run.json",),
        _write(str(RUN / "golden.run.json"), "{"),
    ),
    Case(
        "run record whose options have no values",
        f"show {RUN / 'golden.parquet'}",
        ("golden.run.json", "is no run record"),
        lambda: _edited_record(lambda record: record["options"].update(seed={"from": "default"})),
    ),
    Case(
        "run record whose options are no table",
        f"show {RUN / 'golden.parquet'}",
        ("golden.run.json", "is no run record"),
        lambda: _edited_record(lambda record: record.update(options=[1])),
    ),
    Case(
        "ranges of another model",
        f"{INJECT} --quiet --checkpoint toy.pt --ranges {RUN / 'ranges.parquet'}",
        ("another model",),
    ),
    Case("ranges lacking a site", INJECT, ("conv1", "profile-ranges"), _only_fc),
    Case("embeddings missing", "train --model digits_cnn --dataset digits --head text", ("tgr embed",)),
    Case(
        "embeddings of other classes",
        f"{TRAIN} --head text --init template",
        ("10 classes", "3 classes", "tgr embed"),
        _copy("runs/digits/embeddings-template.parquet", "runs/toy/embeddings-template.parquet"),
    ),
    Case("no stored descriptions", "describe --dataset food101 --source stored", ("food101", "--source template")),
    Case(
        "malicious matrix",
        "embed --dataset digits --from-file bad.npy",
        ("bad.npy",),
        _malicious_matrix,
    ),
    Case(
        "matrix with too few rows",
        "embed --dataset cifar100 --from-file matrix.npy",
        ("10 rows", "100 classes", "--rows"),
    ),
    Case(
        "row out of range",
        "embed --dataset digits --from-file matrix.npy --rows rows.txt",
        ("row 10", "rows.txt"),
        _write("rows.txt", "\n".join(map(str, range(1, 11)))),
    ),
    # faults
    Case("fault at no site", f"{LISTED} --faults faults.csv", ('"fcc"', 'Did you mean "fc"?'), _fault(site="fcc")),
    Case("fault outside the site", f"{LISTED} --faults faults.csv", ("index [3]", "[3]"), _fault(index="3")),
    Case("fault at no bit", f"{LISTED} --faults faults.csv", ("bit 32", "0 to 31"), _fault(bit="32")),
    Case("fault in a huge bit", f"{LISTED} --faults faults.csv", ("bit 9", "0 to 31"), _fault(bit="9" * 30)),
    Case("fault on no image", f"{LISTED} --faults faults.csv", ("toy/99.png",), _fault(image="toy/99.png")),
    Case("no fault", f"{LISTED} --faults faults.csv", ("no fault",), _write("faults.csv", "site,index,bit,image_id\n")),
    Case("row out of range to replay", f"inject {TOY} --replay 9", ("rows 0 to 8", "row 9")),
    Case("unknown engine", f"{INJECT} --engine ful", ("ful", 'Did you mean "full"?')),
    Case("unknown limit", f"{INJECT} --limit clip", ("clip", "clamp")),
    Case("unknown sampling", f"{INJECT} --sampling unifrom", ("unifrom", 'Did you mean "uniform"?')),
    Case("target that is none", f"{INJECT} --target-ci dloss", ("dloss", "sdc=0.005")),
    Case("dLoss target without a limit", f"{INJECT} --limit none --target-ci dloss=0.1", ("--limit clamp", "sdc=")),
    Case("shard beyond the last", f"{INJECT} --shard 3/2", ("3/2", "as 2/3")),
    Case("plan of another kind", f"{INJECT} --plan {RUN / 'golden.parquet'}", ('"golden"', '"plan"', "--plan-only")),
    Case("exhaustive first site", f"{INJECT} --exhaustive first", ("first", "last")),
    Case("merge of no shard", f"merge {RUN / 'injections.parquet'}", ('"injections"', '"shard"', "--shard")),
    Case("unknown label", f"{INJECT} --label truth", ("truth", "golden")),
    Case("unknown target", f"{INJECT} --targets convs", ("convs", "conv")),
    *(
        Case(f"confidence {value}", f"{command} --confidence {value}", ("--confidence", "between 0.5 and 0.999999"))
        for command in (INJECT, "top2diff-sweep --dataset parquet:toy", "sites --model toys:build_toy")
        for value in ("1", "0.4999", "1e-300", "0.9999999999999999")
    ),
    Case("confidence that is no number", f"{INJECT} --confidence nan", ("--confidence",)),
    Case("dLoss gate without a limit", f"{INJECT} --limit none --max-dloss 1", ("--max-dloss", "--limit")),
    # training
    Case("unknown training head", f"{TRAIN} --head texts", ("texts",)),
    Case("unknown init", f"{TRAIN} --head text --init name", ("name", "template")),
    Case("unknown optimizer", f"{TRAIN} --optimizer adam", ("adam", "adamw")),
    Case("unknown schedule", f"{TRAIN} --schedule cosin", ("cosin", "cosine")),
    Case("unknown augmentation", f"{TRAIN} --augment flop", ("flop", "flip")),
    Case("negative learning rate", f"{TRAIN} --lr -0.1", ("--lr",)),
    Case("learning rate that is no number", f"{TRAIN} --lr nan", ("--lr",)),
    Case("nothing to resume", f"{TRAIN} --resume", ("resume",)),
    # output
    Case("file for a folder", f"{EVALUATE} --checkpoint toy.pt --workdir toy.pt", ("toy.pt", "--workdir")),
    Case("folder for a file", f"{EVALUATE} --out pictures", ("pictures", "is a folder")),
    Case("name too long for a folder", f"{EVALUATE} --name {'n' * 300}", ("File name too long",)),
    Case("name that leaves its folder", f"{EVALUATE} --name ../elsewhere", ("../elsewhere", "--name")),
    Case(
        "weights of someone else's in a run",
        f"{TRAIN} --out mine",
        ("mine/model.safetensors", "was not written by tgr"),
        lambda: (_copy(str(RUN / "golden.parquet"), "mine/golden.parquet")(), _copy("toy.pt", f"mine/{WEIGHTS}")()),
    ),
    Case(
        "a card of someone else's in a run",
        f"{TRAIN} --out mine",
        ("mine/model.json", "was not written by tgr"),
        lambda: (
            _copy(str(RUN / "golden.parquet"), "mine/golden.parquet")(),
            _write("mine/model.json", '{"license": "mine"}')(),
        ),
    ),
    Case(
        "another artifact where training's is written",
        f"{TRAIN} --out mine",
        ("mine/training.parquet", 'kind "golden"', '"training"'),
        _copy(str(RUN / "golden.parquet"), "mine/training.parquet"),
    ),
    Case("answers of someone else's", ASKED, ("d.answers.jsonl", "was not written"), _write("d.answers.jsonl", "my\n")),
    Case("a pipe for answers", ASKED, ("d.answers.jsonl", "named pipe"), lambda: os.mkfifo("d.answers.jsonl")),
    Case("a folder for answers", ASKED, ("d.answers.jsonl", "a folder"), Path("d.answers.jsonl").mkdir),
    # runs
    Case("sweep without runs", "top2diff-sweep --dataset mnist", ("runs/mnist", "tgr evaluate")),
    Case("sweep backwards", "top2diff-sweep --dataset parquet:toy --start 0.4 --stop 0.1", ("--start", "--stop")),
    Case("unknown run", f"compare {RUN.name} {RUN.name}s --dataset parquet:toy", (f"{RUN.name}s", "Did you mean")),
    Case("runs of other data", f"compare {RUN.name} other --dataset parquet:toy", ("other",), _other_run),
    # defaults
    Case("broken tgr.toml", "formats", ("tgr.toml", "TOML"), _write("tgr.toml", "epochs = ")),
    Case("unknown key in tgr.toml", "formats", ("tgr.toml", "epochz"), _write("tgr.toml", "epochz = 3")),
    Case("unknown table in tgr.toml", "formats", ("tgr.toml", "[trian]"), _write("tgr.toml", "[trian]\nepochs = 3")),
    Case("key of another table", "formats", ("tgr.toml", "epochs"), _write("tgr.toml", "[inject]\nepochs = 3")),
    Case("folder for tgr.toml", "formats", ("tgr.toml",), Path("tgr.toml").mkdir),
    # usage
    Case(
        "wrong value in tgr.toml", TRAIN.replace(" --epochs 1", ""), ("--epochs",), _write("tgr.toml", "epochs = []"), 2
    ),
    Case("unknown command", "injekt", ("injekt", "tgr --help"), code=2),
    Case("missing list of faults", f"{LISTED} --faults nowhere.csv", ("nowhere.csv", "does not exist")),
    Case("unknown option", f"{INJECT} --fault 3", ("--fault", "--faults"), code=2),
    Case("missing option", "inject --dataset digits", ("--model", "tgr inject --help"), code=2),
    Case("missing argument", "compare", ("baseline", "tgr compare --help"), code=2),
    Case("one run to compare", f"compare {RUN.name} --dataset parquet:toy", ("candidates",), code=2),
    Case("no epochs", f"{TRAIN} --epochs 0", ("--epochs",), code=2),
    Case("negative injections", f"{INJECT} --injections -1", ("--injections",), code=2),
    Case("no images", f"{EVALUATE} --images 0", ("--images",), code=2),
    Case("batches of none", f"{EVALUATE} --batch-size 0", ("--batch-size",), code=2),
    Case("negative seed", f"{INJECT} --seed -1", ("--seed",), code=2),
    Case("negative row to replay", f"inject {TOY} --replay -1", ("--replay",), code=2),
    Case("words for a number", f"{INJECT} --injections many", ("--injections",), code=2),
    Case("rate above 1", f"{INJECT} --max-sdc-rate 2", ("--max-sdc-rate",), code=2),
]


@pytest.fixture
def copied(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run the test in a copy of the prepared folder, whose own modules are forgotten afterwards."""
    folder = shutil.copytree(prepared, tmp_path / "here")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield folder
    sys.modules.pop("spoilt", None)


def refused(case: Case, code: int, out: str, err: str) -> None:
    assert code == case.code, err
    assert out == ""
    assert err.startswith("tgr: "), err
    assert err.count("\n") == 1, err
    for word in case.words:
        assert word in err


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_sentence_and_nothing_written(
    case: Case, copied: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if case.spoil:
        case.spoil()
    before = files(copied)
    monkeypatch.setattr(sys, "argv", ["tgr", *shlex.split(case.arguments)])
    with pytest.raises(SystemExit) as left:
        app.main()
    refused(case, left.value.code, *capfd.readouterr())
    assert files(copied) == before


def test_a_gate_that_fails_says_so_and_keeps_the_campaign(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tgr", *shlex.split(f"{INJECT} --label golden --max-sdc-rate 0 --json")])
    with pytest.raises(SystemExit) as left:
        app.main()
    out, err = capfd.readouterr()
    assert left.value.code == 3
    assert '"verdict": ' in out
    assert [line for line in err.splitlines() if line.startswith("tgr: gate ")] == err.splitlines()[-1:]


@pytest.mark.parametrize(
    ("name", "value", "command", "words"),
    [
        (
            "TGR_TRAIN_EPOCHS",
            "many",
            TRAIN.replace(" --epochs 1", ""),
            ("a valid integer", "variable TGR_TRAIN_EPOCHS"),
        ),
        ("TGR_SITES_CONFIDENCE", "0.3", "sites --model alexnet", ("0.3", "variable TGR_SITES_CONFIDENCE")),
        ("TGR_WORKDIR", "a\udce9", EVALUATE, ("no UTF-8", "variable TGR_WORKDIR")),
    ],
)
def test_a_wrong_value_that_was_not_typed_is_told_with_where_it_stands(
    name: str,
    value: str,
    command: str,
    words: tuple[str, ...],
    copied: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["tgr", *shlex.split(command)])
    with pytest.raises(SystemExit) as left:
        app.main()
    assert left.value.code in (1, 2)
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    for word in words:
        assert word in told


@pytest.mark.parametrize("name", ["TGR_VERSION", "TGR_HELP", "TGR_FLIP_HELP"])
@pytest.mark.parametrize("value", ["1", "0.3.0", "no"])
def test_variables_that_ask_for_no_option_change_nothing(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["tgr", "flip", "1.5", "--bit", "3", "--json"])
    with pytest.raises(SystemExit) as left:
        app.main()
    out, err = capfd.readouterr()
    assert (left.value.code, err) == (0, "")
    assert json.loads(out)


IN_PROCESSES = ("missing data set", "malicious checkpoint", "negative injections")


@pytest.mark.parametrize("case", [c for c in CASES if c.name in IN_PROCESSES], ids=lambda case: case.name)
def test_the_same_from_a_shell(case: Case, copied: Path) -> None:
    if case.spoil:
        case.spoil()
    before = files(copied)
    done = tgr(*shlex.split(case.arguments), PYTHONDONTWRITEBYTECODE="1")
    refused(case, done.code, done.out, done.err)
    assert files(copied) == before


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_a_user_s_model_is_measured_in_its_own_precision_and_may_print(dtype: str, copied: Path) -> None:
    _model_file(f"def build():\n    print('noise')\n    return ToyNet().to(torch.{dtype})")()
    told = json.loads(invoke(*shlex.split(f"{SPOILT} --json")).stdout)
    assert told["images"] == 30
    told = json.loads(invoke(*shlex.split(f"{SPOILT_INJECT} --json")).stdout)
    assert told["faults"] == 6


def test_names_cannot_speak_to_the_terminal(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    names = "do\x1b[31mt\nb\x07ar\nring\x9b2J\n"
    Path("names.txt").write_text(names)
    for arguments in (
        "describe --dataset parquet:toy --class-names names.txt --source template",
        "embed --dataset parquet:toy --class-names names.txt --init template --encoder tfidf",
        "show runs/toy/descriptions.parquet",
        f"evaluate {TOY} --class-names names.txt",
    ):
        monkeypatch.setattr(sys, "argv", ["tgr", *shlex.split(arguments)])
        with pytest.raises(SystemExit):
            app.main()
        told = "".join(capfd.readouterr())
        assert "do\\x1b[31mt" in told
        assert not {"\x1b", "\x07", "\x9b"} & set(told)
