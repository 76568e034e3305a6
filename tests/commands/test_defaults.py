"""Every default has one home, and --help shows the step's actual defaults and choices."""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer

import tgr_cli
from tgr_cli import defaults
from tgr_cli.artifacts.unrecorded import is_recorded
from tgr_cli.commands import COMMANDS, comparison
from tgr_cli.commands.group import built
from tgr_cli.metrics import improvement, rerunning
from tgr_cli.text.endpoint import OPENAI, OPENAI_MODEL
from tgr_cli.training.recipe import Overrides, Recipe

PACKAGE = Path(tgr_cli.__file__).parent
REQUIRED = object()
# Options that no config holds: they say what a command prints or asks, or which of its works it does.
OF_THE_COMMAND = {
    *("json", "quiet", "markdown", "latex", "help"),
    *("yes", "dry_run", "print_recipe", "replay", "junit", "as_published", "published", "nodes"),
    *("command", "print_script", "cancel"),
}
# Commands whose step takes plain arguments, by the option's default.
WITHOUT_CONFIG = {
    "demo": {"injections": defaults.INJECTIONS, "workdir": defaults.WORKDIR},
    "show": {"file": REQUIRED, "rows": defaults.ROWS},
    "models": {},
    "formats": {"names": None},
}


def step_config(command: str) -> type | None:
    """Return the config of a command's step, by the name that every step gives it."""
    step = importlib.import_module(f"tgr_cli.steps.{command.replace('-', '_')}")
    return getattr(step, "Config", None)


def within(hint: Any) -> list[type]:
    """Return the configs that a field of this type holds, be it optional."""
    return [kind for kind in (hint, *get_args(hint)) if is_dataclass(kind)]


def kinds(config: type) -> list[type]:
    """Return a config and the configs within it, but for the objects that no option gives."""
    hints = get_type_hints(config)
    inner = [kind for field in fields(config) if is_recorded(field) for kind in within(hints[field.name])]
    return [config, *(found for kind in inner for found in kinds(kind))]


def fields_of(config: type) -> dict[str, Any]:
    """Return the defaults of a config's fields and of those of the configs within it, by name."""
    return {
        field.name: REQUIRED if field.default is MISSING else field.default
        for kind in kinds(config)
        for field in fields(kind)
        if not within(get_type_hints(kind)[field.name])
    }


def differing(options: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Return in a sentence each where a command's defaults are not those of its step."""
    found = []
    for name, default in options.items():
        if name not in known:
            if name not in OF_THE_COMMAND:
                found.append(f"{name} is an option that the step's config does not have")
        elif not same(default, known[name]):
            found.append(f"{name} is {default!r} as an option and {known[name]!r} in the config")
    return found


def same(option: Any, field: Any) -> bool:
    """Return whether both mean one default; an option that is repeated has none where its field is empty."""
    if field is REQUIRED or field == ():
        return option is None
    return bool(str(option) == str(field)) if isinstance(option, str) else bool(option == field)


def defaults_of(command: Any) -> dict[str, Any]:
    return {parameter.name: parameter.default for parameter in command.params}


def of_step(command: str) -> Mapping[str, Any]:
    config = step_config(command)
    return WITHOUT_CONFIG[command] if config is None else fields_of(config)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_and_its_step_have_the_same_defaults(command: str) -> None:
    assert differing(defaults_of(built(command)), of_step(command)) == []


def test_the_check_of_defaults_can_fail() -> None:
    def with_others(workdir: Path = Path("elsewhere"), pilot: int = 255, novelty: int = 1) -> None: ...

    alone = typer.Typer(add_completion=False)
    alone.command("inject")(with_others)
    assert differing(defaults_of(typer.main.get_command(alone)), of_step("inject")) == [
        f"workdir is {Path('elsewhere')!r} as an option and {Path('runs')!r} in the config",
        "pilot is 255 as an option and 256 in the config",
        "novelty is an option that the step's config does not have",
    ]


def own_values(code: str) -> list[str]:
    """Return the defaults that a function's signature or a config's fields write out, but None, True and False."""
    definition = ast.parse(textwrap.dedent(code)).body[0]
    if isinstance(definition, ast.FunctionDef):
        written = [*definition.args.defaults, *definition.args.kw_defaults]
    else:
        assert isinstance(definition, ast.ClassDef)
        written = [line.value for line in definition.body if isinstance(line, ast.AnnAssign)]
    return [ast.unparse(value) for value in written if value is not None and any(map(is_value, ast.walk(value)))]


def is_value(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, bool | None)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_and_no_config_writes_a_default_itself(command: str) -> None:
    config = step_config(command)
    for code in (COMMANDS[command], *(kinds(config) if config else [])):
        assert own_values(inspect.getsource(code)) == [], code


def test_the_check_of_values_written_out_can_fail() -> None:
    signature = 'a: int = 4096, b: Path = Path("runs"), c: str = defaults.LIMIT, d: bool = False, e: int = 0'
    assert own_values(f"def function({signature}): ...") == ["4096", "Path('runs')", "0"]
    assert own_values("class C:\n    seed: int = 0\n    device: str = defaults.DEVICE") == ["0"]


def helps(command: str) -> dict[str, str]:
    """Return the help of a command's options, by the option's name."""
    return {f"--{p.name.replace('_', '-')}": p.help for p in built(command).params if getattr(p, "help", None)}


def validated() -> list[tuple[str, tuple[str, ...]]]:
    """Return every option that the code validates by `one_of`, with the choices it is held against."""
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        if "one_of(" not in (text := file.read_text()):
            continue
        module = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "one_of":
                option, _, known = node.args
                assert isinstance(option, ast.Constant), f"{module} names no option"
                choices = eval(ast.unparse(known), vars(importlib.import_module(module)))
                found.append((str(option.value), tuple(choices)))
    return found


def untold(option: str, text: str, known: list[tuple[str, tuple[str, ...]]]) -> set[str]:
    """Return the choices that the help of an option leaves out; commands may differ in what they take for it."""
    words = set(re.findall(r"[\w.-]*\w", text))
    left_out = [set(choices) - words for name, choices in known if name == option]
    return min(left_out, key=len, default=set())


LISTED_ELSEWHERE = dict.fromkeys(
    ("--format", "--weight-format", "--encode"), "tgr formats"
)  # the command that lists them


def test_help_names_every_choice() -> None:
    known = validated()
    assert len({option for option, _ in known}) >= 20
    seen = set()
    for command in COMMANDS:
        for option, text in helps(command).items():
            if option in LISTED_ELSEWHERE:
                assert LISTED_ELSEWHERE[option] in text
            else:
                assert untold(option, text, known) == set(), f"tgr {command} {option}"
            seen.add(option)
    assert {option for option, _ in known} <= seen


def test_the_check_of_choices_can_fail() -> None:
    known = [("--limit", ("clamp", "zero", "none")), ("--init", ("random", "template")), ("--init", ("template",))]
    assert untold("--limit", "clamp or none.", known) == {"zero"}
    assert untold("--init", "template alone.", known) == set()


def told(text: str) -> str:
    """Return the default that a help text tells of an option that is not given."""
    found = re.search(r"\(default: ([^)]*)\)", text)
    return found[1] if found else ""


def test_the_help_of_a_training_tells_the_defaults_of_its_recipe() -> None:
    texts = helps("train")
    for field in fields(Overrides):
        value, said = getattr(Recipe(), field.name), told(texts[f"--{field.name.replace('_', '-')}"])
        if isinstance(value, bool):
            assert said == ("yes" if value else "no"), field.name
        else:
            assert type(value)(said) == value, field.name


def test_the_help_tells_which_model_of_which_server_is_asked() -> None:
    texts = helps("describe")
    assert told(texts["--base-url"]) == OPENAI
    assert f"(default, at OpenAI: {OPENAI_MODEL})" in texts["--llm"]


def test_every_default_is_used() -> None:
    names = {name for name in vars(defaults) if name.isupper()}
    used = "".join(path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "defaults.py")
    assert {name for name in names if not re.search(rf"\bdefaults\.{name}\b", used)} == set()


def test_words_of_the_terminal_are_those_of_the_library() -> None:
    assert set(comparison.FACTORS) == set(improvement.FACTORS)
    assert importlib.import_module("tgr_cli.commands.top2diff_sweep").NAMES == rerunning.NAMES
    assert defaults.FACTOR in improvement.FACTORS
    assert defaults.CRITERION in rerunning.CRITERIA
