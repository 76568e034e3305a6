"""Sites and images for sampling, and a plan's faults as rows."""

import numpy as np

from tgr_cli.faults.fault_models import Choices, Flip
from tgr_cli.faults.formats import NATIVE
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sites import Site

CONV = Site(name="conv1", op="conv", shape=(4, 8, 8), macs=2304)
FC = Site(name="fc", op="linear", shape=(3,), macs=72)
WEIGHT = Site(name="conv1.weight", op="weight", shape=(4, 1, 3, 3), macs=2304, per_image=False)
ALL = np.ones(50, bool)
BITS = Choices(Flip(), NATIVE["float32"])


def faults_of(plan: Plan, site: str) -> list[tuple[int, ...]]:
    """Return number, image, element and bit of every fault at a site."""
    number = [s.name for s in plan.sites].index(site)
    chosen = plan.site_F == number
    columns = (plan.number_F, plan.image_F, plan.element_F, plan.choice_F)
    return list(zip(*(column[chosen].tolist() for column in columns), strict=True))
