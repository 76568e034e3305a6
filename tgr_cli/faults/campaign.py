"""A campaign: every fault of a plan run through an engine, each row put back where the plan has it."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tgr_cli.faults.engines.engine import Engine, Strike
from tgr_cli.faults.plan import Plan
from tgr_cli.metrics.outcomes import judge
from tgr_cli.reporting import SILENT, Reporter


def run(
    engine: Engine,
    plan: Plan,
    load: Callable[[np.ndarray], Tensor],
    labels_N: np.ndarray,
    *,
    reporter: Reporter = SILENT,
) -> dict[str, np.ndarray]:
    """Return what became of every fault of `plan`: its INJECTIONS columns from value_before on, in the plan's order.

    Where an outcome is non_finite, `metrics.outcomes.with_nulls` makes the nulls of the artifact.

    `load` gives the images at some positions of the pool as x_KCHW; `labels_N` are the classes the losses are taken
    against. Images are visited in chunks as the engine wants them, sites in execution order within a chunk.
    """
    columns: dict[str, np.ndarray] = {}
    done = 0
    struck_images = np.unique(plan.image_F)
    for start in range(0, len(struck_images), engine.images_at_once):
        image_K = struck_images[start : start + engine.images_at_once]
        golden_KC = engine.prepare(load(image_K))
        in_chunk_F = np.isin(plan.image_F, image_K)
        for number, site in enumerate(plan.sites):
            chosen = np.flatnonzero(in_chunk_F & (plan.site_F == number))
            if not len(chosen):
                continue
            row_F = torch.from_numpy(np.searchsorted(image_K, plan.image_F[chosen]))
            struck = engine.inject(
                Strike(
                    site=site,
                    rows_F=row_F,
                    elements_F=torch.from_numpy(plan.element_F[chosen]),
                    bits_F=torch.from_numpy(plan.bit_F[chosen]),
                )
            )
            labels_F = torch.from_numpy(labels_N[plan.image_F[chosen]])
            values = {
                "value_before": struck.before_F.double().cpu().numpy(),
                "value_flipped": struck.flipped_F.double().cpu().numpy(),
                "value_after": struck.after_F.double().cpu().numpy(),
                **judge(golden_KC[row_F], struck.logits_FC, labels_F).columns(),
            }
            for name, value_F in values.items():
                columns.setdefault(name, np.zeros(len(plan), value_F.dtype))[chosen] = value_F
            done += len(chosen)
            reporter.progress("injecting", done, len(plan))
    assert done == len(plan)
    return columns
