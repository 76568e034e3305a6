"""Whether a campaign without importance sampling had too few faults for its intervals of mean dLoss to be right.

dLoss is heavy-tailed, so few uniform faults see little of what it is made of: with 64 at a site, 99 % intervals held
the truth in 88 to 94 % of simulated campaigns (benchmarks/2026-11-29-importance-over-images.md). The number of
effective contributions (`intervals.effective`) shows it, and grows about in proportion to the number of faults.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tgr_cli.metrics.intervals import RELIABLE_FROM, effective
from tgr_cli.metrics.summary import FaultColumns, Row


def warning(config: Mapping[str, Any], sites: Sequence[Row], struck: FaultColumns) -> str:
    """Return a sentence with the number of faults that would do, or "" where intervals are as good as they say.

    `sites` are rows of `vulnerability`, `struck` the faults at all of them.
    """
    sampling = config.get("sampling")
    few = [row for row in sites if not row["reliable"]]
    if sampling not in ("uniform", "stratified") or config.get("limit") == "none" or not few:
        return ""
    needed = max(_needed(row, struck.at(row["site"])) for row in few)
    about = f"about {needed:,} faults a site would do, and " if needed else "use more --injections; "
    return (
        f"with --sampling {sampling}, {len(few)} of {len(sites)} sites have too few faults: their intervals of mean "
        f"dLoss hold the truth less often than they say; {about}--sampling importance needs far fewer"
    )


def _needed(row: Row, faults: FaultColumns) -> int:
    """Return about how many faults a site needs, rounded up to two digits; 0 if no fault tells."""
    contribution_C = faults.mean_dlosses([row["site"]]).combined(np.ones(1)).totals()[0]
    carried = effective(contribution_C[np.isfinite(contribution_C)])
    if not carried:
        return 0
    exact = row["faults"] * max(RELIABLE_FROM / carried, 1.0)
    unit = 10 ** max(math.floor(math.log10(exact)) - 1, 0)
    return math.ceil(exact / unit) * unit
