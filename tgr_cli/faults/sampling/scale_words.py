"""Faults in words of scales: drawn among the groups of values that share one, each equally likely.

A scheme draws elements of a stand-in for the site that has one element for each group; each stands for the first
element of its group.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from tgr_cli.faults.plan import Plan
from tgr_cli.faults.scale_groups import ScaleGroups
from tgr_cli.faults.sites import Site


def stand_ins(sites: Sequence[Site], groups: Mapping[str, ScaleGroups]) -> list[Site]:
    """Return sites of the same names with one element for each group."""
    return [replace(site, shape=(groups[site.name].count,)) for site in sites]


def anchored(plan: Plan, sites: Sequence[Site], groups: Mapping[str, ScaleGroups]) -> Plan:
    """Return a plan that was drawn on the stand-ins of `sites`, on the sites themselves."""
    element_F = plan.element_F.copy()
    for number, site in enumerate(sites):
        own_F = plan.site_F == number
        element_F[own_F] = groups[site.name].first(torch.from_numpy(plan.element_F[own_F])).numpy().astype(np.int64)
    return replace(plan, sites=tuple(sites), element_F=element_F)
