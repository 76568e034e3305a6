"""Messages for invalid command lines: one sentence with the error, and a valid example."""

from typing import Any

from tgr_cli.commands.parameters import where_from

# A valid call of each command with required arguments.
EXAMPLES = {
    "train": "tgr train --model resnet20 --dataset cifar10",
    "evaluate": "tgr evaluate --model resnet20 --dataset cifar10",
    "profile-ranges": "tgr profile-ranges --model resnet20 --dataset cifar10",
    "guard": "tgr guard --model resnet20 --dataset cifar10 --technique relu6",
    "inject": "tgr inject --model resnet20 --dataset cifar10",
    "merge": "tgr merge shard-1.parquet shard-2.parquet",
    "submit": "tgr submit --local 4 inject --model resnet20 --dataset cifar10",
    "compare": "tgr compare resnet20-baseline resnet20-cosine --dataset cifar10",
    "fit": "tgr fit resnet20-baseline --raw-fit 100 --dataset cifar10",
    "protect": "tgr protect resnet20-baseline --dataset cifar10",
    "sites": "tgr sites --model resnet20",
    "flip": "tgr flip 1.5 --bit 30",
    "show": "tgr show runs/cifar10/resnet20-baseline/injections.parquet",
}


def sentence(error: Any) -> str:
    """Return the error in a command line as one sentence that refers to the command's --help."""
    command = error.ctx.command_path if error.ctx else "tgr"
    wrong = _missing(error) if is_missing(error) else error.format_message().strip().rstrip(".")
    if getattr(error, "option_name", None) and error.ctx and error.ctx.command.name == "submit":
        wrong += f', and options of the campaign follow the word inject, as in "{EXAMPLES["submit"]}"'
    return f'{wrong}{where_from(error)}; see "{command} --help"' if wrong else ""


def is_missing(error: Any) -> bool:
    """Return whether a required option or argument is missing; typer does not export this exception type."""
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
