import pytest

from tgr_cli.errors import TgrError
from tgr_cli.metrics import population

ROWS = [
    {"site": "conv1", "op": "conv", "neurons": 300, "macs": 1000},
    {"site": "conv2", "op": "conv", "neurons": 100, "macs": 3000},
    {"site": "fc", "op": "linear", "neurons": 10, "macs": 100},
]
NAMES = ["fc", "conv2", "conv1"]


@pytest.mark.parametrize(
    ("count_by", "targets", "expected"),
    [
        ("neurons", None, [0, 0.25, 0.75]),
        ("sites", None, [0, 0.5, 0.5]),
        ("macs", None, [0, 0.75, 0.25]),
        ("sites", "conv,linear", [1 / 3, 1 / 3, 1 / 3]),
        ("neurons", "linear, conv", [10 / 410, 100 / 410, 300 / 410]),
        ("macs", "linear", [1, 0, 0]),
    ],
)
def test_what_each_site_counts(count_by, targets, expected):
    found = population.of(ROWS, count_by, targets)
    assert found.coefficients(NAMES).tolist() == pytest.approx(expected)
    assert found.sites == sum(share > 0 for share in expected)


def test_a_network_without_convolutions_counts_all_its_sites():
    rows = [ROWS[2], {"site": "mix", "op": "matmul", "neurons": 30, "macs": 7}]
    found = population.of(rows)
    assert found.operations == ("linear", "matmul")
    assert found.coefficients(["fc", "mix"]).tolist() == pytest.approx([0.25, 0.75])
    assert population.of(ROWS).operations == ("conv",)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("neuron",), '--count-by is "neuron"; use one of sites, neurons, macs. Did you mean "neurons"?'),
        (("sites", "convs"), '--targets is "convs"; use one of conv, linear, matmul. Did you mean "conv"?'),
        (("sites", "matmul"), "faults at sites of conv, linear only, and --targets is matmul; choose among these, or"),
    ],
)
def test_what_cannot_be_counted_is_refused(arguments, words):
    with pytest.raises(TgrError) as refused:
        population.of(ROWS, *arguments)
    assert words in str(refused.value)


def test_sites_without_work_cannot_be_counted_by_it():
    rows = [{"site": "norm.running_mean", "op": "buffer", "neurons": 4, "macs": 0}]
    assert population.of(rows).coefficients(["norm.running_mean"]).tolist() == [1]
    with pytest.raises(TgrError, match="none of the struck sites has any macs to count by; use --count-by sites"):
        population.of(rows, "macs")
