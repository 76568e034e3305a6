"""One file a command: options → config → step → summary. Heavy imports stay inside the functions."""

from collections.abc import Callable

from tgr_cli.commands.datasets import datasets
from tgr_cli.commands.models import models
from tgr_cli.commands.show import show

COMMANDS: dict[str, Callable[..., None]] = {
    "datasets": datasets,
    "models": models,
    "show": show,
}
