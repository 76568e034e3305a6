"""What is said where a command line cannot be read: one sentence with what is wrong, and a line that would do."""

from typing import Any

from tgr_cli.commands.parameters import where_from

# For each command that cannot run without arguments, a line that names all of them.
EXAMPLES = {
    "train": "tgr train --model resnet20 --dataset cifar10",
    "evaluate": "tgr evaluate --model resnet20 --dataset cifar10",
    "profile-ranges": "tgr profile-ranges --model resnet20 --dataset cifar10",
    "inject": "tgr inject --model resnet20 --dataset cifar10",
    "merge": "tgr merge shard-1.parquet shard-2.parquet",
    "compare": "tgr compare resnet20-baseline resnet20-cosine --dataset cifar10",
    "report": "tgr report resnet20-baseline --dataset cifar10",
    "sites": "tgr sites --model resnet20",
    "flip": "tgr flip 1.5 --bit 30",
    "show": "tgr show runs/cifar10/resnet20-baseline/injections.parquet",
}


def sentence(error: Any) -> str:
    """Return what is wrong with the arguments as one sentence, with the command whose help lists the right ones."""
    command = error.ctx.command_path if error.ctx else "tgr"
    wrong = _missing(error) if is_missing(error) else error.format_message().strip().rstrip(".")
    return f'{wrong}{where_from(error)}; see "{command} --help"' if wrong else ""


def is_missing(error: Any) -> bool:
    """Return whether a usage error is about an option or argument that is not there; typer exports no such type."""
    return hasattr(error, "param_type") and getattr(error, "param", None) is not None


def _missing(error: Any) -> str:
    parameter = error.param
    what = parameter.name.replace("_", "-")
    name = f"--{what}" if parameter.param_type_name == "option" else what.upper()
    meant = (parameter.help or "").rstrip(".")
    if meant[1:2].islower() or meant[1:2] == " ":
        meant = meant[0].lower() + meant[1:]
    example = EXAMPLES.get(error.ctx.command.name) if error.ctx else None
    return f"{name} is missing ({meant})" + (f'; give it, as in "{example}"' if example else "; give it")
