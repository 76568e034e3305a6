"""tgr in Python: the commands as functions, for notebooks, tests and programs.

    from tgr_cli import api as tgr

    campaign = tgr.inject(model, (x, y), injections=64)      # an nn.Module; inputs [N, C, H, W] and labels [N]
    campaign.sites.pandas()                                  # SDC rate and mean dLoss of every site, with intervals
    campaign.save("runs/mine/robust-baseline")               # a run folder, as the commands read it

A model is an `nn.Module` or a name as of `tgr models`; data are tensors, a torch data set, a DataLoader, or a name as
of `tgr datasets`. Keyword arguments are the command's options with _ for -: `images_per_fault=8`. Results are objects
with tables (Arrow, or pandas on demand), figures (matplotlib) and a view for notebooks. Errors are `TgrError`.
"""

from tgr_cli.api.judging import compare, fit, protect
from tgr_cli.api.measuring import evaluate, inject, profile_ranges
from tgr_cli.api.options import as_published
from tgr_cli.api.run import Run, open
from tgr_cli.api.table import Table
from tgr_cli.errors import TgrError

__all__ = [
    "Run",
    "Table",
    "TgrError",
    "as_published",
    "compare",
    "evaluate",
    "fit",
    "inject",
    "open",
    "profile_ranges",
    "protect",
]
