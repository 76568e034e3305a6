"""What following a change spares of the network behind a site, at most; known before anything runs."""

from collections.abc import Iterable
from itertools import takewhile

from torch.fx.node import Node

from tgr_cli.faults.engines.rules import takes_changes
from tgr_cli.faults.graph import Network
from tgr_cli.faults.operation_names import MASKING, name_of
from tgr_cli.faults.program import Program

# Below this share of multiply-accumulates, measuring rounding and running doubtful faults again take what is spared.
WORTH_FOLLOWING = 0.25


class Spares:
    """Compares what propagation runs for changes alone with what `replay` runs."""

    def __init__(self, network: Network) -> None:
        self._calls = network.calls

    def much(self, spared: Iterable[Node], path: Program) -> bool:
        """Return whether these operations make up enough of the path's multiply-accumulates."""
        return self._macs(spared) >= WORTH_FOLLOWING * self._macs(dict(path))

    def by_windows(self, path: Program) -> bool:
        """Return whether windows reach an operation that many changes end at, or spare much.

        Squeeze-and-excitation, say, spreads a change over the whole map, and propagation ends there.
        """
        followed = list(takewhile(takes_changes, (node for node, _ in path)))
        ends = any(name_of(node) in MASKING for node in followed)
        return not path or ends or (self._macs(followed) > 0 and self.much(followed, path))

    def _macs(self, nodes: Iterable[Node]) -> int:
        return sum(self._calls[node].site.macs for node in nodes if node in self._calls)
