"""One file per command: options → config → step → output. Heavy imports stay inside the functions."""

from collections.abc import Callable

from tgr_cli.commands.cam import cam
from tgr_cli.commands.compare import compare
from tgr_cli.commands.datasets import datasets
from tgr_cli.commands.demo import demo
from tgr_cli.commands.describe import describe
from tgr_cli.commands.embed import embed
from tgr_cli.commands.evaluate import evaluate
from tgr_cli.commands.fit import fit
from tgr_cli.commands.flip import flip
from tgr_cli.commands.formats import formats
from tgr_cli.commands.guard import guard
from tgr_cli.commands.inject import inject
from tgr_cli.commands.merge import merge
from tgr_cli.commands.models import models
from tgr_cli.commands.profile_ranges import profile_ranges
from tgr_cli.commands.protect import protect
from tgr_cli.commands.report import report
from tgr_cli.commands.show import show
from tgr_cli.commands.sites import sites
from tgr_cli.commands.submit import submit
from tgr_cli.commands.top2diff_sweep import top2diff_sweep
from tgr_cli.commands.train import train

COMMANDS: dict[str, Callable[..., None]] = {
    "describe": describe,
    "embed": embed,
    "train": train,
    "evaluate": evaluate,
    "profile-ranges": profile_ranges,
    "inject": inject,
    "merge": merge,
    "submit": submit,
    "top2diff-sweep": top2diff_sweep,
    "compare": compare,
    "protect": protect,
    "guard": guard,
    "fit": fit,
    "report": report,
    "cam": cam,
    "demo": demo,
    "models": models,
    "sites": sites,
    "datasets": datasets,
    "formats": formats,
    "flip": flip,
    "show": show,
}
