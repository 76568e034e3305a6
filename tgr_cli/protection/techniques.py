"""The techniques of protection by name: adding one is an entry here, and a module with its function `points`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tgr_cli.protection import combined, duplication, rerun
from tgr_cli.protection.evidence import Evidence
from tgr_cli.protection.point import Choice, Point


@dataclass(frozen=True)
class Technique:
    """A technique: its title, what its coverage counts by as published, what it needs, and its points.

    `orders` and `reruns` say whether it has an order of feature maps and a confidence below which it re-runs.
    """

    title: str
    count_by: str
    points: Callable[[Evidence, Choice], Iterator[Point]]
    orders: bool = False
    reruns: bool = False


TECHNIQUES: Mapping[str, Technique] = {
    "ilr": Technique("re-running of doubtful inferences", "neurons", rerun.points, reruns=True),
    "flr": Technique("duplication of feature maps", "macs", duplication.points, orders=True),
    "filr": Technique("both together", "neurons", combined.points, orders=True, reruns=True),
}
