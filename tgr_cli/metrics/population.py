"""Which population a network's figure speaks of: what each of its sites counts.

- `sites`: every site alike, as the means over layers of the NeurIPS paper.
- `neurons`: every neuron alike, so a site counts by its neurons: a random neuron of a random layer, as ISSRE strikes.
- `macs`: every multiply-accumulate alike, ISSRE's chance that a fault originates in a site (V_orig).

Sources: "Hardware resilience properties of text-guided image classifiers" (NeurIPS 2023), section 5.2; Mahmoud et al.
(ISSRE 2021), sections III-B and VI-C.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tgr_cli.errors import TgrError, one_of

Row = Mapping[str, Any]  # facts of a site: site, op, neurons, macs

COUNT_BY = ("sites", "neurons", "macs")
OPERATIONS = ("conv", "linear", "matmul")


@dataclass(frozen=True)
class Population:
    """What each site counts, by its name; the sites that are left out count nothing. The numbers add up to 1.

    `operations` are those of the sites that count, as "conv".
    """

    count_by: str
    operations: tuple[str, ...]
    coefficient: Mapping[str, float]

    @property
    def sites(self) -> int:
        """Return how many sites count."""
        return sum(share > 0 for share in self.coefficient.values())

    def coefficients(self, sites: Sequence[str]) -> np.ndarray:
        """Return what the sites of these names count, in their order, [S]."""
        return np.array([self.coefficient.get(name, 0.0) for name in sites], np.float64)


def of(rows: Sequence[Row], count_by: str = "neurons", targets: str | None = None) -> Population:
    """Return the population that the struck sites `rows` stand for, counted by `count_by`.

    `targets` names the operations whose sites count, as "conv,linear". None stands for what ISSRE strikes, the
    convolutions, and for all struck sites where there is none among them (a network without convolutions, tensors).

    Raises TgrError where no struck site is one of `targets`, or none has a neuron or multiply-accumulate to count by.
    """
    check(count_by, targets)
    struck = tuple(dict.fromkeys(row["op"] for row in rows))
    wanted = operations(targets) if targets is not None else ("conv",) if "conv" in struck else struck
    kept = [row for row in rows if row["op"] in wanted]
    if not kept:
        raise TgrError(
            f"the campaign struck sites of {', '.join(struck)} alone, and --targets is {targets}; count these, or run "
            '"tgr inject" with other --targets'
        )
    size_K = np.ones(len(kept)) if count_by == "sites" else np.array([row[count_by] for row in kept], np.float64)
    if not size_K.sum() > 0:
        raise TgrError(f"none of the struck sites has any {count_by} to count by; use --count-by sites")
    shares = (size_K / size_K.sum()).tolist()
    named = {row["site"]: share for row, share in zip(kept, shares, strict=True)}
    return Population(count_by, tuple(op for op in struck if op in wanted), named)


def check(count_by: str, targets: str | None) -> None:
    """Raise TgrError where either is none that there is."""
    one_of("--count-by", count_by, COUNT_BY)
    for name in operations(targets) if targets is not None else ():
        one_of("--targets", name, OPERATIONS)


def operations(targets: str) -> tuple[str, ...]:
    """Return the operations that a text like "conv,linear" names."""
    return tuple(part.strip() for part in targets.split(","))
