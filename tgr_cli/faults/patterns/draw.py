"""Draws the footprint of each fault of a plan.

It depends on the seed, the site's name and the fault's number alone. Being independent of all else that is drawn, it
leaves the weights of a plan exact.
"""

from dataclasses import replace

import numpy as np

from tgr_cli import seeding
from tgr_cli.faults.fault_models.choices import drawn
from tgr_cli.faults.patterns.pattern import Pattern
from tgr_cli.faults.plan import Plan


def with_footprints(plan: Plan, pattern: Pattern, *, seed: int) -> Plan:
    """Return the plan with a footprint of the pattern for each fault, the same for all images of a lasting one."""
    footprint_F = np.zeros(len(plan), np.int64)
    for number, site in enumerate(plan.sites):
        own_F = plan.site_F == number
        if pattern.count(site.op) == 1 or not own_F.any():
            continue
        faults_F = plan.number_F[own_F]
        words_F4 = seeding.words(seed, "footprint", site.name, count=int(faults_F.max()) + 1)[faults_F]
        footprint_F[own_F] = drawn(pattern.footprints(site.op), words_F4[:, 0], words_F4[:, 1])
    return replace(plan, footprint_F=footprint_F)
