"""The injection engines by name. `full` is the reference: every other engine must give the same outcomes."""

from tgr_cli.faults.engines.auto import Auto
from tgr_cli.faults.engines.delta import Delta
from tgr_cli.faults.engines.engine import Engine, FaultBatch, FaultEffects
from tgr_cli.faults.engines.full import Full
from tgr_cli.faults.engines.pytorchfi import PyTorchFI
from tgr_cli.faults.engines.replay import Replay

ENGINES: dict[str, type[Engine]] = {engine.name: engine for engine in (Auto, Delta, Replay, Full, PyTorchFI)}

__all__ = ["ENGINES", "Auto", "Delta", "Engine", "FaultBatch", "FaultEffects", "Full", "PyTorchFI", "Replay"]
