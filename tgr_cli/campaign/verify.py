"""Verifies a finished campaign: reruns some of its faults with the reference engine `full`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tgr_cli import seeding
from tgr_cli.campaign.subject import Subject
from tgr_cli.errors import TgrError
from tgr_cli.faults import units
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import Full
from tgr_cli.faults.network import AnyNetwork
from tgr_cli.faults.plan import Plan
from tgr_cli.metrics.outcomes import agree


def verify(
    subject: Subject,
    network: AnyNetwork,
    corruption: Corruption,
    faults: Plan,
    columns: Mapping[str, Any],
    labels_N: np.ndarray,
    *,
    count: int,
    seed: int,
) -> int:
    """Return the number of faults rerun with `full`: `count` at random, or all if there are fewer.

    `columns` are the results of all faults, in plan order. Raises TgrError for the first fault whose outcome differs,
    or whose dLoss differs by more than 1e-4 + 1e-4 × dLoss.
    """
    count = min(count, len(faults))
    chosen_V = np.sort(seeding.generator(seed, "verify").choice(len(faults), count, replace=False))
    some = faults.take(chosen_V)
    engine = Full(subject.loaded.model, network, corruption)
    again = units.run(engine, some, subject.load, labels_N, reporter=subject.reporter)
    for place, fault in enumerate(chosen_V):
        found = (str(columns["outcome"][fault]), _number(columns["dloss"][fault]))
        oracle = (str(again["outcome"][place]), float(again["dloss"][place]))
        if not agree(*found, *oracle):
            site, index = some.sites[some.site_F[place]], some.indices()[place]
            what = f"{engine.choices.noun} {some.choice_F[place]}, image {subject.images.ids[some.image_F[place]]}"
            raise TgrError(
                f"fault {some.number_F[place]} at {site.name} (index {index}, {what}) is {found[0]} with dLoss "
                f"{found[1]:.6g}, but {oracle[0]} with dLoss {oracle[1]:.6g} through full; run the campaign with "
                "--engine full"
            )
    return count


def _number(value: Any) -> float:
    """Return a dLoss as a float, NaN for null."""
    value = value.as_py() if hasattr(value, "as_py") else value
    return float("nan") if value is None else float(value)
