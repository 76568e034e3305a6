"""Which feature map a fault struck, and what the maps cost."""

import numpy as np
import pyarrow as pa
import pytest

from tgr_cli.metrics.population import Population
from tgr_cli.protection.maps import NO_MAP, Maps

SITES = [
    {"site": "stem", "op": "conv", "neurons": 8, "macs": 80},
    {"site": "fc", "op": "linear", "neurons": 4, "macs": 20},
    {"site": "last", "op": "conv", "neurons": 12, "macs": 60},
]
WORK = Population("macs", ("conv",), {"stem": 80 / 140, "last": 60 / 140})


def test_faults_are_dealt_to_the_maps_of_a_site_in_turn():
    struck = pa.table(
        {
            "site": ["last", "stem", "fc", "last", "stem"],
            "fault": [5, 7, 3, 0, 4],
        }
    )
    feature_maps = {"stem": {"axis": 0, "count": 4}, "last": {"axis": 1, "count": 3}}
    maps = Maps.of(SITES, feature_maps, struck, 400, WORK)
    assert maps.of_N.tolist() == [4 + 2, 3, NO_MAP, 4 + 0, 0]
    assert maps.cost_M.tolist() == pytest.approx([20 / 400] * 4 + [20 / 400] * 3)
    assert maps.by_site(np.array([6, 0, 3, 4])) == {"stem": [0, 3], "last": [0, 2]}
