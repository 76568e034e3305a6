"""Imports what takes long to import, before the server is forked that the processes of tests are forked from."""

import gc
from importlib import import_module

gc.disable()  # a search for garbage among so many objects that stay takes a third of the time
for name in ("torch.distributed.run", "torchvision.transforms.v2"):
    import_module(name)
for step in ("describe", "embed", "evaluate", "flip", "formats", "inject", "train"):
    import_module(f"tgr_cli.steps.{step}")
gc.freeze()
gc.enable()
