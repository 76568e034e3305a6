"""Command lines with wrong options, and what surrounds a command: variables of the environment, a file of defaults."""

import shlex
from random import Random

from fuzz_damage import BYTES, TEXTS, VALUES, lines_edited
from fuzz_inputs import Input
from fuzz_targets import COMPARE, DESCRIBE, EMBED, EVALUATE, INJECT, MERGE, REPORT, SWEEP, TOY

from tgr_cli.commands.group import built

# Commands that end in little time, and what of their options would make them take long, use a network or a GPU.
BASES: dict[str, str] = {
    "describe": DESCRIBE,
    "embed": EMBED.replace("descriptions", "template"),
    "train": "train --model toys:build_toy --dataset parquet:toy --crop 8 --mean 0.5 --std 0.5 --print-recipe -q",
    "evaluate": EVALUATE,
    "profile-ranges": f"profile-ranges {TOY} -q --images 1 --out new/r.parquet",
    "inject": f"{INJECT} --injections 1 --images 2 --plan-only",
    "merge": MERGE,
    "submit": f"submit --local 2 --print {INJECT} --injections 1 --images 2",
    "top2diff-sweep": SWEEP,
    "compare": COMPARE,
    "fit": "fit one two --raw-fit 100 --dataset mnist --out new/fit.parquet",
    "guard": f"guard {TOY} --technique relu6 -q --workdir new/w",
    "protect": "protect one two --dataset mnist --out new/p.parquet",
    "report": REPORT,
    "cam": "cam one two --dataset mnist --out new/s.parquet -q",
    "demo": "demo --workdir new/demo",
    "models": "models",
    "sites": "sites --model toys:build_toy --crop 8",
    "datasets": "datasets",
    "formats": "formats",
    "flip": "flip 1.5 --bit 3",
    "show": "show plan.parquet",
}
LENGTHY = {"help", "download", "compile", "workers", "device", "dataset", "model", "base_url", "epochs", "encoder"}
WEIGHTS = {
    "profile-ranges": 0.2,
    "inject": 0.3,
    "guard": 0.2,
    "report": 0.1,
    "sites": 0.3,
    "embed": 1.0,
    "models": 0.3,
    "demo": 0.5,
}
TYPED = {
    "integer": ("0", "-1", "1", "2", "3", "1e3", "nan", "x", "٣", "0x10", " 7", "9" * 25, "-" + "9" * 25, "1.5", ""),
    "float": ("0", "1", "-1", "nan", "inf", "-inf", "1e400", "1e308", "-1e-308", "0.5", "0,5", "x", "", "1e-9"),
}
SURROUNDINGS = ("describe", "evaluate", "embed", "compare", "datasets", "formats", "show", "train")
NUMBERS = ("", "x", "0", "-1", "1", "-5", "2.5", "9" * 25)
PATHS = ("", "nowhere", "/dev/null", "/dev/full", "toy.pt", "caf\udce9", "x" * 5000)
VARIABLES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("COLUMNS", "LINES", "OMP_NUM_THREADS", "SOURCE_DATE_EPOCH", "NO_COLOR"), NUMBERS),
    **dict.fromkeys(("RANK", "LOCAL_RANK", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT"), NUMBERS),
    "WORLD_SIZE": ("", "x", "0", "-1", "1", "2.5"),
    **dict.fromkeys(("HOME", "TMPDIR", "TORCH_HOME", "HF_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR", "TGR_DATA"), PATHS),
    **dict.fromkeys(("TERM", "LANG", "LC_ALL", "PYTHONIOENCODING", "TGR_LLM_API_KEY", "OPENAI_API_KEY"), TEXTS),
    **dict.fromkeys(("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE"), (*TEXTS, "http://127.0.0.1:9")),
    **dict.fromkeys(("TGR_VERSION", "TGR_HELP", "TGR_SEED", "TGR_WORKDIR", "TGR_DESCRIBE_YES"), TEXTS),
}


def with_options(random: Random, whole: dict[str, bytes]) -> Input:
    """Return a command with one to three options that have any value, on the command line or in the environment."""
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


def with_surroundings(random: Random, whole: dict[str, bytes]) -> Input:
    """Return a command that finds its environment's variables set to anything, or a damaged tgr.toml."""
    command = tuple(shlex.split(BASES[random.choice(SURROUNDINGS)]))
    if random.random() < 0.5:
        content = random.choice((*BYTES, lines_edited, lines_edited))(random, whole["defaults.toml"])
        return Input("defaults", command, {"tgr.toml": content}, may_change=("new", "."))
    names = random.sample(sorted(VARIABLES), random.choice((1, 1, 2, 3)))
    values = {name: random.choice(VARIABLES[name]) for name in names}
    return Input("surroundings", command, variables=values, may_change=("new", "."))
