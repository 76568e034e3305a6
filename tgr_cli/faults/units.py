"""Runs every fault of a plan through an engine, unit by unit.

A unit is all faults at one site on one chunk of images. It is the granularity at which work is done, stored and
resumed.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing

import numpy as np
import torch
from torch import Tensor

from tgr_cli.faults import processes
from tgr_cli.faults.engines.engine import Engine, FaultBatch
from tgr_cli.faults.plan import Plan
from tgr_cli.metrics.outcomes import judge
from tgr_cli.reporting import SILENT, Reporter

GOLDEN_RATIO = (5**0.5 - 1) / 2  # its multiples, modulo 1, are spread evenly however many there are (Weyl)
Load = Callable[[np.ndarray], Tensor]


def units(plan: Plan, images_per_unit: int) -> np.ndarray:
    """Return the unit number of every fault, int64 [F]: chunk × number of sites + site.

    A chunk is `images_per_unit` consecutive images of those with faults. Running units in order therefore computes the
    golden activations of each chunk only once.
    """
    image_K = np.unique(plan.image_F)
    chunk_F = np.searchsorted(image_K, plan.image_F) // images_per_unit
    return chunk_F * len(plan.sites) + plan.site_F


def rows_of(unit_F: np.ndarray) -> dict[int, np.ndarray]:
    """Return, for each unit in running order, the positions of its faults in the plan (ascending)."""
    order_F = np.argsort(unit_F, kind="stable")
    names_U, starts_U = np.unique(unit_F[order_F], return_index=True)
    return dict(zip(names_U.tolist(), np.split(order_F, starts_U)[1:], strict=True))


def shards(unit_F: np.ndarray, sites: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the units in running order and the shard of each, from 1 to `count`, for F faults at so many sites.

    Shards have nearly equal numbers of faults, and as few chunks each as that allows, since a process that runs a unit
    computes the golden activations of its whole chunk. Shards that divide a chunk get sites from all over the network
    each, since faults at its beginning take longest.
    """
    unit_U, faults_U = np.unique(unit_F, return_counts=True)
    chunk_U, site_U = np.divmod(unit_U, sites)
    order_U = np.lexsort((site_U * GOLDEN_RATIO % 1, chunk_U))
    before_U = np.cumsum(faults_U[order_U]) - faults_U[order_U] / 2
    shard_U = np.zeros(len(unit_U), np.int64)
    shard_U[order_U] = np.floor(before_U / len(unit_F) * count).astype(np.int64) + 1
    return unit_U, shard_U


def of_shard(unit_F: np.ndarray, sites: int, number: int, count: int) -> list[int]:
    """Return the units of shard `number` (from 1) of `count`, in running order."""
    unit_U, shard_U = shards(unit_F, sites, count)
    return [int(unit) for unit in unit_U[shard_U == number]]


def each(
    engine: Engine,
    plan: Plan,
    unit_F: np.ndarray,
    wanted: Sequence[int],
    load: Load,
    labels_N: np.ndarray,
    *,
    jobs: int = 1,
) -> Generator[tuple[int, dict[str, np.ndarray]]]:
    """Yield each of the `wanted` units when it is finished, as (unit, columns of its faults in plan order).

    The columns are those of INJECTIONS from value_before on. The engine always gets the images of a whole chunk,
    however few of its units are wanted, so that a unit's result does not depend on the others. An engine that holds
    fewer images at once gets the chunk in several batches. `load` and `labels_N` as in `run`. With several `jobs`, the
    units of the prepared images are run in as many processes, and finish in any order; see `processes.each`.
    """
    rows, sites = rows_of(unit_F), len(plan.sites)
    chunk_F = unit_F // sites
    for chunk in np.unique(np.asarray(wanted, np.int64) // sites).tolist():
        image_K = np.unique(plan.image_F[chunk_F == chunk])
        pending = [unit for unit in wanted if unit // sites == chunk]
        found: dict[int, dict[str, np.ndarray]] = {unit: {} for unit in pending}
        for start in range(0, len(image_K), engine.images_at_once):
            lot_K = image_K[start : start + engine.images_at_once]
            golden_KC = engine.prepare(load(lot_K))
            in_lot = {unit: np.isin(plan.image_F[rows[unit]], lot_K) for unit in pending}
            here = [unit for unit in pending if in_lot[unit].any()]
            if jobs > 1:
                engine.measure([plan.sites[unit % sites] for unit in here], jobs)

            def struck(
                unit: int,
                lot_K: np.ndarray = lot_K,
                golden_KC: Tensor = golden_KC,
                in_lot: dict[int, np.ndarray] = in_lot,
            ) -> dict[str, np.ndarray]:
                return strike(engine, plan.take(rows[unit][in_lot[unit]]), lot_K, golden_KC, labels_N)

            last = start + len(lot_K) == len(image_K)
            with closing(processes.each(struck, here, jobs)) as finished:
                for unit, values in finished:
                    for name, value_F in values.items():
                        whole_F = found[unit].setdefault(name, np.zeros(len(in_lot[unit]), value_F.dtype))
                        whole_F[in_lot[unit]] = value_F
                    if last:
                        yield unit, found.pop(unit)
        yield from found.items()  # units without faults on the last images


def strike(
    engine: Engine, faults: Plan, image_K: np.ndarray, golden_KC: Tensor, labels_N: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the result columns of faults at one site, for images already prepared, given their golden logits."""
    row_F = torch.from_numpy(np.searchsorted(image_K, faults.image_F))
    struck = engine.inject(
        FaultBatch(
            site=faults.sites[faults.site_F[0]],
            rows_F=row_F,
            elements_F=torch.from_numpy(faults.element_F),
            choices_F=torch.from_numpy(faults.choice_F),
            footprints_F=torch.from_numpy(faults.footprints),
        )
    )
    return {
        "value_before": struck.before_F.double().cpu().numpy(),
        "value_flipped": struck.flipped_F.double().cpu().numpy(),
        "value_after": struck.after_F.double().cpu().numpy(),
        **judge(golden_KC[row_F], struck.logits_FC, torch.from_numpy(labels_N[faults.image_F])).columns(),
    }


def run(
    engine: Engine, plan: Plan, load: Load, labels_N: np.ndarray, *, reporter: Reporter = SILENT
) -> dict[str, np.ndarray]:
    """Return the results of every fault of `plan`: the INJECTIONS columns from value_before on, in plan order.

    Results with outcome non_finite hold placeholders; `metrics.outcomes.with_nulls` turns them into the artifact's
    nulls.

    `load` returns the images at the given positions of the pool as x_KCHW; `labels_N` are the classes that the losses
    are computed against. Images are visited in chunks of the engine's batch size, and within a chunk the sites in
    execution order.
    """
    unit_F = units(plan, engine.images_at_once)
    rows, columns, done = rows_of(unit_F), dict[str, np.ndarray](), 0
    for unit, values in each(engine, plan, unit_F, list(rows), load, labels_N):
        for name, value_F in values.items():
            columns.setdefault(name, np.zeros(len(plan), value_F.dtype))[rows[unit]] = value_F
        done += len(rows[unit])
        reporter.progress("injecting", done, len(plan))
    assert done == len(plan)
    return columns
