"""The files that the fuzzer damages, how, and the commands that read them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from fuzz_damage import ARTIFACT, BYTES, TABLE, Damage, json_edited, lines_edited
from fuzz_folder import ASK, KEPT, TRAIN
from fuzz_tensors import header_edited, member_edited, numpy_header_edited, opcodes_edited, state_edited
from toys_folder import RUN, TOY


@dataclass(frozen=True)
class Target:
    """A file, the ways to damage it, and the commands that read it; `weight`: how often it is taken.

    A `file` with a * in it is the first of that name. `called` gives the name of a file whose name tells its content.
    """

    file: str
    damages: Sequence[Damage]
    commands: Sequence[str]
    weight: float = 1.0
    may_change: tuple[str, ...] = ("new",)
    called: Callable[[str, bytes], str] = lambda file, content: file


def _part(file: str, content: bytes) -> str:
    return f"{file.rpartition('-')[0]}-{sha256(content).hexdigest()}.parquet"


EVALUATE = f"evaluate {TOY} -q --out new/golden.parquet"
INJECT = f"inject {TOY} --label golden -q --out new/x.parquet"
PLANNED = f"{INJECT} --plan plan.parquet"
SHOW = "show {file}"
SWEEP = "top2diff-sweep --dataset mnist --out new/sweep.parquet"
COMPARE = "compare one two --dataset mnist --out new/comparison.parquet"
REPORT = "report one two --dataset mnist --out new/report.html -q"
DESCRIBE = "describe --dataset parquet:toy --source template --out new/d.parquet"
EMBED = "embed --dataset parquet:toy --init descriptions --encoder tfidf --out new/e.parquet -q"
MATRIX = "embed --dataset digits --from-file {file} --out new/e.parquet -q"
ROWS = "embed --dataset digits --from-file rows.npy --rows {file} --out new/e.parquet -q"
NAMED_ROWS = "embed --dataset digits --from-file rows.npy --row-names {file} --out new/e.parquet -q"
IMPORT = "describe --dataset parquet:toy --from-file {file} --out new/d.parquet"
CHECKPOINT = f"evaluate {TOY} -q --checkpoint {{file}} --out new/golden.parquet"
HEADED = f"evaluate {TOY} -q --checkpoint trained/model.safetensors --out new/golden.parquet"
INJECT_CHECKPOINT = f"{INJECT} --checkpoint {{file}} --injections 1 --limit none --images 2"
FOLDER = (
    "evaluate --model toys:build_toy --weights none --dataset imagefolder:pictures --crop 8 --mean 0.5 --std 0.5 "
    "-q --out new/golden.parquet"
)
MNIST = "evaluate --model lenet5 --weights none --dataset mnist --data-root data -q --out new/golden.parquet"
MERGE = "merge part-1.parquet part-2.parquet --out new/m.parquet"
GO_ON = f"{TRAIN} --epochs 2 --resume --out trained"
BEGIN = f"{TRAIN} --epochs 2 --out begun"
RESUME = f"{BEGIN} --resume"
TEXT_HEAD = f"{TRAIN} --epochs 1 --head text --init template --embeddings {{file}} --out new/run"
PART = "kept.parts/unit-*.parquet"
LINES = (*BYTES, lines_edited, lines_edited, lines_edited)
JSON = (*BYTES, json_edited, json_edited, json_edited)
HEADER = (*BYTES, header_edited, header_edited)
STATE = (*BYTES, member_edited, state_edited, state_edited, state_edited, state_edited)
CHANGED = ("new", "trained")
ONE, TWO = "runs/mnist/one", "runs/mnist/two"

TARGETS = (
    Target(f"{ONE}/golden.parquet", ARTIFACT, (SHOW, SWEEP, COMPARE, f"{SWEEP} one two"), 2),
    Target(f"{ONE}/injections.parquet", ARTIFACT, (SHOW, SWEEP, COMPARE, f"{SWEEP} one two"), 3),
    Target(f"{TWO}/vulnerability.parquet", ARTIFACT, (SHOW, COMPARE, COMPARE), 2),
    Target(f"{TWO}/injections.parquet", ARTIFACT, (REPORT,), 0.05),
    Target(f"{TWO}/vulnerability.parquet", ARTIFACT, (REPORT,), 0.05),
    Target(f"{RUN}/golden.parquet", TABLE, (SHOW, "show {file} --rows 3 --json"), 1),
    Target(f"{RUN}/golden.run.json", (*BYTES, json_edited), (f"show {RUN / 'golden.parquet'}",), 1),
    Target(f"{RUN}/ranges.parquet", ARTIFACT, (SHOW,), 0.5),
    Target(f"{RUN}/ranges.parquet", TABLE, (f"{INJECT} --injections 2 --ranges {{file}}",), 0.08),
    Target(f"{RUN}/injections.parquet", ARTIFACT, (SHOW,), 0.4),
    Target(f"{RUN}/injections.parquet", TABLE, (f"inject {TOY} --replay 2 -q", f"{INJECT} --faults {{file}}"), 0.2),
    Target(f"{RUN}/model.json", JSON, (EVALUATE,), 1.5),
    Target(f"{RUN}/model.safetensors", HEADER, (EVALUATE,), 1),
    Target("toy.pt", (*BYTES, member_edited, member_edited, member_edited), (CHECKPOINT,), 2),
    Target("toy.pt", (*BYTES, member_edited, member_edited, member_edited), (INJECT_CHECKPOINT,), 0.05),
    Target("legacy.pth", (*BYTES, opcodes_edited), (CHECKPOINT, MATRIX), 2),
    Target("trained/last.pt", STATE, (CHECKPOINT,), 0.7),
    Target("trained/last.pt", STATE, (GO_ON,), 0.7, ("trained",)),
    Target("begun/checkpoint.pt", STATE, (RESUME,), 0.7, ("begun",)),
    Target("begun/checkpoint.pt", STATE, (BEGIN,), 0.2, ("begun",)),
    Target("trained/best.safetensors", HEADER, (CHECKPOINT, GO_ON), 0.4, CHANGED),
    Target("trained/model.json", JSON, (HEADED, GO_ON), 0.4, CHANGED),
    Target("trained/training.parquet", TABLE, (SHOW, GO_ON), 0.4, CHANGED),
    Target("plan.parquet", ARTIFACT, (SHOW,), 0.4),
    Target("plan.parquet", ARTIFACT, (PLANNED,), 0.1),
    Target("kept.parts/campaign.json", JSON, (KEPT,), 0.08, ("kept",)),
    Target("kept.parts/plan.parquet", ARTIFACT, (KEPT,), 0.08, ("kept",)),
    Target(PART, TABLE, (KEPT,), 0.04, ("kept",)),
    Target(PART, TABLE, (KEPT,), 0.08, ("kept",), _part),
    Target("part-1.parquet", TABLE, (MERGE,), 3),
    Target("sweep.parquet", TABLE, (SHOW,), 1),
    Target("comparison.parquet", TABLE, (SHOW,), 1),
    Target("descriptions.parquet", ARTIFACT, (SHOW, f"{EMBED} --descriptions {{file}}"), 1.5),
    Target("embedded.parquet", TABLE, (SHOW,), 1),
    Target("embedded.parquet", TABLE, (TEXT_HEAD,), 0.3),
    Target("embedded-all.parquet", TABLE, (SHOW,), 0.5),
    Target("matrix.npy", (*BYTES, numpy_header_edited, numpy_header_edited), (MATRIX,), 2),
    Target("matrix.npz", (*BYTES, member_edited), (MATRIX,), 0.3),
    Target("matrix.pth", (*BYTES, member_edited, member_edited), (MATRIX,), 2),
    Target("rows.txt", LINES, (ROWS,), 1),
    Target("row-names.txt", LINES, (NAMED_ROWS,), 1),
    Target("names.txt", LINES, (f"{DESCRIBE} --class-names {{file}}",), 1.5),
    Target("questions.txt", (*BYTES, lines_edited), (f"{ASK.replace('question.txt', '{file}')} --dry-run",), 1),
    Target("asked.answers.jsonl", LINES, (f"{ASK} --out asked.parquet -q",), 1, ("asked",)),
    Target("prompts.toml", LINES, (f"{DESCRIBE} --prompts {{file}}",
     "describe --dataset parquet:toy --source stored --prompts {file} --out new/d.parquet"), 2),
    Target("cupl.json", JSON, (IMPORT,), 2),
    Target("cupl.csv", (*BYTES, lines_edited, lines_edited), (IMPORT,), 1.5),
    Target("faults.csv", LINES, (f"{INJECT} --faults {{file}}",), 0.2),
    Target("toy/test.parquet", TABLE, (EVALUATE,), 2),
    Target("pictures/dot/0.png", BYTES, (FOLDER,), 1),
    Target("data/MNIST/raw/t10k-images-idx3-ubyte", BYTES, (MNIST,), 0.3),
    Target("data/MNIST/raw/t10k-labels-idx1-ubyte", BYTES, (MNIST,), 0.3),
)  # fmt: skip
