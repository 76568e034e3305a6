import pyarrow as pa
import pytest

from tgr_cli.campaign.results import read

ROWS = pa.table(
    {"site": ["a"] * 3, "fault": [0, 0, 1], "image_id": ["x", "y", "x"], "bit": [3, 3, 4]}
    | {"outcome": ["sdc"] * 3, "weight": [1.0] * 3, "image_excess": [0.0] * 3, "dloss": [1.0] * 3}
)


@pytest.mark.parametrize(
    ("config", "clusters", "strata"),
    [
        ({"sampling": "importance"}, [0, 1, 0], [0, 0, 0]),
        ({"sampling": "stratified", "target": "neuron"}, [0, 1, 0], [3, 3, 4]),
        ({"sampling": "uniform", "target": "weight"}, [0, 0, 1], [0, 0, 0]),
        ({"sampling": "uniform", "target": "neuron", "lasting": True}, [0, 0, 1], [0, 0, 0]),
        ({"sampling": "uniform", "target": "weight", "lasting": False}, [0, 1, 0], [0, 0, 0]),
    ],
)
def test_a_campaigns_settings_say_which_faults_are_alike(config, clusters, strata):
    found = read(ROWS, config)
    names = list(dict.fromkeys(found.cluster))
    assert [names.index(name) for name in found.cluster] == clusters
    assert found.stratum.tolist() == strata
