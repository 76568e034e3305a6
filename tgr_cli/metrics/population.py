"""The population that a network's rate refers to, as a coefficient for each site.

- `sites`: all sites have equal weight, as in the NeurIPS paper's means over layers.
- `neurons`: all neurons have equal weight, so a site's is its number of neurons: a random neuron of a random layer, as
  in ISSRE.
- `macs`: all multiply-accumulates have equal weight: ISSRE's probability that a fault originates in a site (V_orig).

Sources: "Hardware resilience properties of text-guided image classifiers" (NeurIPS 2023), section 5.2; Mahmoud et al.
(ISSRE 2021), sections III-B and VI-C.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tgr_cli import defaults
from tgr_cli.errors import TgrError, one_of

Row = Mapping[str, Any]  # facts of a site: site, op, neurons, macs

COUNT_BY = ("sites", "neurons", "macs")
OPERATIONS = ("conv", "linear", "matmul")


@dataclass(frozen=True)
class Population:
    """The coefficient of each site by name, 0 for sites left out; the coefficients add up to 1.

    `operations` are the kinds of the included sites, such as "conv".
    """

    count_by: str
    operations: tuple[str, ...]
    coefficient: Mapping[str, float]

    @property
    def sites(self) -> int:
        """Return the number of sites with a positive coefficient."""
        return sum(share > 0 for share in self.coefficient.values())

    def coefficients(self, sites: Sequence[str]) -> np.ndarray:
        """Return the coefficients of the named sites, in their order, [S]."""
        return np.array([self.coefficient.get(name, 0.0) for name in sites], np.float64)


def of(rows: Sequence[Row], count_by: str = defaults.COUNT_BY, targets: str | None = None) -> Population:
    """Return the population represented by the sites `rows`, which have faults, weighted by `count_by`.

    `targets` selects the operations to include, such as "conv,linear". None means convolutions, as in ISSRE, or all
    sites if none is a convolution (a network without any, or tensors).

    Raises TgrError if no site is one of `targets`, or all have 0 neurons or multiply-accumulates to weight by.
    """
    check(count_by, targets)
    struck = tuple(dict.fromkeys(row["op"] for row in rows))
    wanted = operations(targets) if targets is not None else ("conv",) if "conv" in struck else struck
    kept = [row for row in rows if row["op"] in wanted]
    if not kept:
        raise TgrError(
            f"the campaign has faults at sites of {', '.join(struck)} only, and --targets is {targets}; choose among "
            'these, or run "tgr inject" with other --targets'
        )
    size_K = np.ones(len(kept)) if count_by == "sites" else np.array([row[count_by] for row in kept], np.float64)
    if not size_K.sum() > 0:
        raise TgrError(f"none of the struck sites has any {count_by} to count by; use --count-by sites")
    shares = (size_K / size_K.sum()).tolist()
    named = {row["site"]: share for row, share in zip(kept, shares, strict=True)}
    return Population(count_by, tuple(op for op in struck if op in wanted), named)


def check(count_by: str, targets: str | None) -> None:
    """Raise TgrError if either is not a valid choice."""
    one_of("--count-by", count_by, COUNT_BY)
    for name in operations(targets) if targets is not None else ():
        one_of("--targets", name, OPERATIONS)


def operations(targets: str) -> tuple[str, ...]:
    """Return the operations named in a text such as "conv,linear"."""
    return tuple(part.strip() for part in targets.split(","))
