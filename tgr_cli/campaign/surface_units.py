"""Strikes the neurons of a surface unit by unit; keeps finished units, so that a killed run goes on.

Suffixes: K kinds of fault, N neurons of the plan, U neurons of a unit (one site, one lot of images).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tgr_cli.artifacts.parts import Parts
from tgr_cli.campaign.differences import differences
from tgr_cli.campaign.subject import Subject
from tgr_cli.errors import TgrError
from tgr_cli.faults import units
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.surface import Anchors, Surface

IMAGES_AT_ONCE = 256
STAGE = "surface"


def effects(
    plan: Plan, surface: Surface, subject: Subject, labels_N: np.ndarray, parts: Parts, ours: Mapping[str, Any]
) -> np.ndarray:
    """Return for each kind and neuron the estimated mean SDC rate and dLoss, [K, 2, N].

    `ours` identifies the campaign; raises TgrError if `parts` belong to another one.
    """
    _begin(parts, ours)
    reporter = subject.reporter
    unit_F = units.units(plan, min(IMAGES_AT_ONCE, surface.engine.images_at_once))
    rows = units.rows_of(unit_F)
    effects_K2N = np.zeros((len(surface.kinds), 2, len(plan)))
    tables, damaged = parts.finished(STAGE)
    finished = {unit: table for unit, table in tables.items() if unit in rows}
    for unit, table in finished.items():
        effects_K2N[:, :, rows[unit]] = _effects_of(table, parts, plan.take(rows[unit]), len(surface.kinds))
    done = sum(len(rows[unit]) for unit in finished)
    if finished:
        reporter.note(f"{done:,} of {len(plan):,} neurons were struck before and are kept")
    if damaged:
        reporter.note(f"damaged, and run again: {', '.join(damaged)}")
    left = [unit for unit in rows if unit not in finished]
    try:
        for unit, struck, found in _struck(plan, surface, subject, labels_N, unit_F, left):
            effects_K2N[:, :, rows[unit]] = found
            parts.write(STAGE, unit, _table(struck, found))
            done += len(struck)
            reporter.progress("striking neurons", done, len(plan))
    except KeyboardInterrupt:
        reporter.note(
            f"{done:,} of {len(plan):,} neurons are struck and kept in {parts.folder}; the same command goes on from "
            "there"
        )
        raise
    return effects_K2N


def _struck(
    plan: Plan, surface: Surface, subject: Subject, labels_N: np.ndarray, unit_F: np.ndarray, left: Sequence[int]
) -> Iterator[tuple[int, Plan, np.ndarray]]:
    """Yield each unit of `left`, its neurons, and the effects [K, 2, U] of the kinds on them."""
    rows, chunk_F = units.rows_of(unit_F), unit_F // len(plan.sites)
    for chunk in sorted({unit // len(plan.sites) for unit in left}):
        image_K = np.unique(plan.image_F[chunk_F == chunk])
        golden_KC = surface.engine.prepare(subject.load(image_K))
        for unit in [unit for unit in left if unit // len(plan.sites) == chunk]:
            struck = plan.take(rows[unit])
            found = surface.effects(Anchors.of(struck, image_K, golden_KC, labels_N))
            yield unit, struck, np.stack([np.stack([effect.sdc.numpy(), effect.dloss.numpy()]) for effect in found])


def _begin(parts: Parts, ours: Mapping[str, Any]) -> None:
    begun = (parts.about() or {"campaign": ours})["campaign"]
    if differing := differences(begun, ours):
        raise TgrError(
            f"{parts.folder} keeps a campaign that was begun with {differing} now; give the same settings to go on, "
            "or discard it with --restart"
        )
    parts.describe({"campaign": ours, "plans": {}})


def _table(struck: Plan, effects_K2U: np.ndarray) -> pa.Table:
    columns = {"image": struck.image_F, "element": struck.element_F, "weight": struck.weight_F}
    return pa.table(
        columns | {f"effect{number}": row for number, row in enumerate(effects_K2U.reshape(-1, len(struck)))}
    )


def _effects_of(table: pa.Table, parts: Parts, struck: Plan, kinds: int) -> np.ndarray:
    """Return the effects [K, 2, U] in the table of a finished unit; raises TgrError if it is of other neurons."""
    own = _table(struck, np.zeros((kinds, 2, len(struck))))
    keys = ["image", "element", "weight"]
    if not table.schema.equals(own.schema) or not table.select(keys).equals(own.select(keys)):
        raise TgrError(
            f"{parts.folder} keeps other neurons than this campaign strikes: a file was renamed, or is of another "
            "campaign; discard them with --restart"
        )
    return np.stack([table[f"effect{number}"].to_numpy() for number in range(2 * kinds)]).reshape(kinds, 2, len(struck))
