"""What the fuzzer tries: files that commands read, how each is damaged, and options of all kinds of wrong values."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
import torch
from fuzz_damage import (
    ARTIFACT,
    BYTES,
    TABLE,
    TEXTS,
    VALUES,
    Damage,
    header_edited,
    json_edited,
    lines_edited,
    member_edited,
    numpy_header_edited,
    opcodes_edited,
)
from toys import toy_net
from toys_artifacts import invoke, site, write_golden, write_injections
from toys_folder import RUN, TOY, fill_here

from tgr_cli.commands import COMMANDS
from tgr_cli.commands.group import built

SITES = (site("conv1", "conv", neurons=256, macs=2304), site("fc", neurons=3, macs=72))


@dataclass(frozen=True)
class Input:
    """One thing to try: files with their content, a command line, variables of the environment.

    `may_change`: beginnings of the paths that the command is free to write.
    """

    name: str
    arguments: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    may_change: tuple[str, ...] = ("new",)

    def __str__(self) -> str:
        return f"{self.name}: {self.variables or ''} tgr {shlex.join(self.arguments)!a}"


@dataclass(frozen=True)
class Target:
    """A file, the ways to damage it, and the commands that read it; `weight`: how often it is taken."""

    file: str
    damages: Sequence[Damage]
    commands: Sequence[str]
    weight: float = 1.0
    may_change: tuple[str, ...] = ("new",)


def make_here() -> None:
    """Make in the working folder what the inputs are drawn from."""
    fill_here()
    for name, seed in (("one", 0), ("two", 1)):
        _hand_made(Path(f"runs/mnist/{name}"), name, seed)
    Path("new").mkdir()
    plain = f"{TOY} --label golden -q --injections 3"
    for command in (
        f"inject {plain} --plan-only --out plan.parquet",
        f"inject {TOY} --label golden -q --plan plan.parquet --shard 1/2 --out part-1.parquet",
        f"inject {TOY} --label golden -q --plan plan.parquet --shard 2/2 --out part-2.parquet",
        "top2diff-sweep --dataset mnist --golden runs/mnist/one/golden.parquet --out sweep.parquet -q",
        "compare one two --dataset mnist --out comparison.parquet -q",
        "describe --dataset parquet:toy --source template --out descriptions.parquet -q",
        "embed --dataset parquet:toy --init template --encoder tfidf --keep-all --out embedded.parquet -q",
    ):
        assert invoke(*shlex.split(command)).exit_code == 0, command
    state = toy_net(1).state_dict()
    torch.save(state, "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(torch.ones(10, 4), "matrix.pth")
    np.save("rows.npy", np.ones((12, 4), dtype=np.float16))
    Path("rows.txt").write_text("\n".join(map(str, range(10))))
    Path("names.txt").write_text("dot\nbar\nring\n")
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


def _hand_made(folder: Path, name: str, seed: int) -> None:
    random = Random(seed)
    images = {letter: random.random() for letter in "abcdefgh"}
    write_golden(folder / "golden.parquet", images, wrong="b", run=name, model=f"{seed}" * 64)
    outcomes, struck = "nsmbsbsb", "abcdefgh"
    dloss = [None if letter == "n" else random.random() for letter in outcomes]
    write_injections(
        folder / "injections.parquet", [(facts, outcomes, struck, dloss) for facts in SITES], model=f"{seed}" * 64
    )


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
IMPORT = "describe --dataset parquet:toy --from-file {file} --out new/d.parquet"
CHECKPOINT = f"evaluate {TOY} -q --checkpoint {{file}} --out new/golden.parquet"
FOLDER = (
    "evaluate --model toys:build_toy --weights none --dataset imagefolder:pictures --crop 8 --mean 0.5 --std 0.5 "
    "-q --out new/golden.parquet"
)
TARGETS = (
    Target("runs/mnist/one/golden.parquet", ARTIFACT, (SHOW, SWEEP, COMPARE, f"{SWEEP} one two"), 2),
    Target("runs/mnist/one/injections.parquet", ARTIFACT, (SHOW, SWEEP, COMPARE, f"{SWEEP} one two"), 3),
    Target("runs/mnist/two/vulnerability.parquet", ARTIFACT, (SHOW, COMPARE, COMPARE), 2),
    Target("runs/mnist/two/injections.parquet", ARTIFACT, (REPORT,), 0.15),
    Target("runs/mnist/two/vulnerability.parquet", ARTIFACT, (REPORT,), 0.15),
    Target(str(RUN / "golden.parquet"), TABLE, (SHOW, "show {file} --rows 3 --json"), 1),
    Target(str(RUN / "golden.run.json"), (*BYTES, json_edited), (f"show {RUN / 'golden.parquet'}",), 1),
    Target(str(RUN / "ranges.parquet"), ARTIFACT, (SHOW, SHOW, f"{INJECT} --injections 2"), 0.5),
    Target(str(RUN / "injections.parquet"), ARTIFACT, (SHOW, SHOW, f"inject {TOY} --replay 2 -q"), 0.6),
    Target(str(RUN / "model.json"), (*BYTES, json_edited, json_edited, json_edited), (EVALUATE,), 1.5),
    Target(str(RUN / "model.safetensors"), (*BYTES, header_edited, header_edited), (EVALUATE,), 1),
    Target("toy.pt", (*BYTES, member_edited, member_edited, member_edited), (CHECKPOINT,), 2),
    Target("legacy.pth", (*BYTES, opcodes_edited), (CHECKPOINT, MATRIX), 2),
    Target("plan.parquet", ARTIFACT, (SHOW, SHOW, PLANNED), 0.6),
    Target("part-1.parquet", TABLE, ("merge part-1.parquet part-2.parquet --out new/m.parquet",), 3),
    Target("sweep.parquet", TABLE, (SHOW,), 1),
    Target("comparison.parquet", TABLE, (SHOW,), 1),
    Target("descriptions.parquet", ARTIFACT, (SHOW, f"{EMBED} --descriptions {{file}}"), 1.5),
    Target("embedded.parquet", TABLE, (SHOW,), 1),
    Target("embedded-all.parquet", TABLE, (SHOW,), 0.5),
    Target("matrix.npy", (*BYTES, numpy_header_edited, numpy_header_edited), (MATRIX,), 2),
    Target("matrix.pth", (*BYTES, member_edited, member_edited), (MATRIX,), 2),
    Target("rows.txt", (*BYTES, lines_edited, lines_edited), (ROWS,), 1),
    Target("names.txt", (*BYTES, lines_edited, lines_edited), (f"{DESCRIBE} --class-names {{file}}",), 1.5),
    Target("questions.txt", (*BYTES, lines_edited), ("describe --dataset parquet:toy --source llm --llm m --base-url "
     "http://127.0.0.1:9/v1 --dry-run --questions {file}",), 1),
    Target("prompts.toml", (*BYTES, lines_edited, lines_edited, lines_edited), (f"{DESCRIBE} --prompts {{file}}",
     "describe --dataset parquet:toy --source stored --prompts {file} --out new/d.parquet"), 2),
    Target("cupl.json", (*BYTES, json_edited, json_edited, json_edited), (IMPORT,), 2),
    Target("cupl.csv", (*BYTES, lines_edited, lines_edited), (IMPORT,), 1.5),
    Target("faults.csv", (*BYTES, lines_edited, lines_edited, lines_edited), (f"{INJECT} --faults {{file}}",), 0.3),
    Target("toy/test.parquet", TABLE, (EVALUATE,), 2),
    Target("pictures/dot/0.png", BYTES, (FOLDER,), 1),
)  # fmt: skip


def drawn(random: Random, whole: dict[str, bytes]) -> Input:
    """Return one input: a damaged file for a command that reads it, or a command with wrong options."""
    chance = random.random()
    if chance < 0.25:
        return _with_options(random, whole)
    if chance < 0.3:
        content = random.choice((*BYTES, lines_edited, lines_edited))(random, whole["defaults.toml"])
        return Input("defaults", ("formats",), {"tgr.toml": content})
    target = random.choices(TARGETS, [target.weight for target in TARGETS])[0]
    damage = random.choice(target.damages)
    other = random.choice(sorted(whole))
    content = whole[other] if random.random() < 0.03 else damage(random, whole[target.file])
    command = random.choice(target.commands).replace("{file}", target.file)
    name = f"{damage.__name__} {target.file}"
    return Input(name, tuple(shlex.split(command)), {target.file: content}, may_change=target.may_change)


# Commands that end in little time, and what of their options would make them take long, use a network or a GPU.
BASES: dict[str, str] = {
    "describe": DESCRIBE,
    "embed": EMBED.replace("descriptions", "template"),
    "train": "train --model toys:build_toy --dataset parquet:toy --crop 8 --mean 0.5 --std 0.5 --print-recipe -q",
    "evaluate": EVALUATE,
    "profile-ranges": f"profile-ranges {TOY} -q --images 1 --out new/r.parquet",
    "inject": f"{INJECT} --injections 1 --images 2 --plan-only",
    "merge": "merge part-1.parquet part-2.parquet --out new/m.parquet",
    "top2diff-sweep": SWEEP,
    "compare": COMPARE,
    "report": REPORT,
    "cam": "cam one two --dataset mnist --out new/s.parquet -q",
    "sites": "sites --model toys:build_toy --crop 8",
    "datasets": "datasets",
    "formats": "formats",
    "flip": "flip 1.5 --bit 3",
    "show": "show plan.parquet",
}
LENGTHY = {"help", "download", "compile", "workers", "device", "dataset", "model", "base_url", "epochs", "encoder"}
WEIGHTS = {"profile-ranges": 0.2, "inject": 0.3, "report": 0.2, "sites": 0.3, "embed": 1.0}
TYPED = {
    "integer": ("0", "-1", "1", "2", "3", "1e3", "nan", "x", "٣", "0x10", " 7", "9" * 25, "-" + "9" * 25, "1.5", ""),
    "float": ("0", "1", "-1", "nan", "inf", "-inf", "1e400", "1e308", "-1e-308", "0.5", "0,5", "x", "", "1e-9"),
}


def _with_options(random: Random, whole: dict[str, bytes]) -> Input:
    names = sorted(BASES)
    name = random.choices(names, [WEIGHTS.get(name, 2.0) for name in names])[0]
    arguments, variables, may_change = shlex.split(BASES[name]), {}, ["new"]
    usable = [p for p in built(name).params if p.name not in LENGTHY]
    for parameter in random.choices(usable, k=random.choice((1, 1, 1, 2, 3))):
        value = _value(random, parameter, whole)
        if parameter.param_type_name == "argument":
            arguments.append(value)
        elif getattr(parameter, "is_flag", False):
            arguments.append(random.choice(parameter.opts))
        elif random.random() < 0.2 and "\0" not in value:
            variables[f"TGR_{name.replace('-', '_').upper()}_{parameter.name.upper()}"] = value
        else:
            arguments += [random.choice(parameter.opts), value]
        if parameter.name in ("out", "png", "workdir", "data_root", "name"):
            may_change.append(value)
    return Input("options", (*arguments,), variables=variables, may_change=tuple(may_change))


def _value(random: Random, parameter: object, whole: dict[str, bytes]) -> str:
    kind = getattr(getattr(parameter, "type", None), "name", "")
    typed = next((values for key, values in TYPED.items() if kind.startswith(key)), ())
    if typed and random.random() < 0.9:
        return random.choice(typed)
    folders = ("", ".", "toy", "pictures", "runs/mnist", "/dev/null", "nowhere", "new/a/b.parquet", "caf\udce9.parquet")
    if kind == "path" and random.random() < 0.8:
        return random.choice((*folders, *sorted(whole)))
    words = ("auto", "none", "all", "true", "golden", "weight", "sdc=0.9", "one", "two", "top2diff", "1/2", "cpu")
    return str(random.choice((*TEXTS, *words, *folders, random.choice(VALUES))))


def covered() -> set[str]:
    """Return the commands that the inputs run."""
    return {command.split()[0] for target in TARGETS for command in target.commands} | set(BASES)


assert covered() <= set(COMMANDS)
