import math

import numpy as np
import pyarrow as pa
import pytest
import scipy

from tgr_cli.metrics.breakdown import COLUMNS, FaultRows, by_bit, by_field, by_image, spearman
from tgr_cli.metrics.summary import FaultColumns, vulnerability_row

LETTERS = {"n": "non_finite", "s": "sdc", "m": "masked", "b": "benign"}


def rows(sites: str, bits: list[int], images: str, outcomes: str, weights: list[float]) -> pa.Table:
    count = len(sites)
    columns = {
        "fault": np.arange(count),
        "site": list(sites),
        "bit": bits,
        "image_id": list(images),
        "weight": weights,
        "image_weight": [1.0] * count,
        "image_excess": [0.0] * count,
        "golden_top1": [0.75] * count,
        "faulty_top1": [0.75] * count,
        "golden_top2diff": [ord(image) / 200 for image in images],
        "faulty_top2diff": [0.5] * count,
        "outcome": [LETTERS[letter] for letter in outcomes],
    }
    assert tuple(columns) == COLUMNS
    return pa.table(columns)


def test_a_bit_weighs_faults_by_their_weight_and_sites_alike() -> None:
    """Site p has four rows, q two: a row of bit 7 at p counts 0.5 / 4, those at q 1 / 2 and 3 / 2."""
    table = rows("ppppqq", [7, 0, 0, 0, 7, 7], "abcdab", "smmmsb", [0.5, 1, 1, 1, 1, 3])
    low, high = by_bit(FaultRows.read(table))
    assert (low["bit"], low["rows"], low["masked"]) == (0, 3, 1.0)
    assert (high["bit"], high["rows"]) == (7, 3)
    assert high["sdc"] == pytest.approx((0.125 + 0.5) / (0.125 + 0.5 + 1.5))
    assert high["benign"] == pytest.approx(1 - high["sdc"])
    assert high["sdc_low"] < high["sdc"] < high["sdc_high"]


FIELDS = {"sign": (7, 7), "exponent": (3, 6), "mantissa": (0, 2)}


def test_a_field_weighs_the_faults_of_its_bits_and_leaves_out_those_without_a_bit() -> None:
    """Exponent: bits 6 (weight 0.5, SDC), 3 (weight 2) and 3 (weight 1, SDC, at q with three rows for p's four)."""
    table = rows("ppppqqq", [6, 3, 0, -1, 3, 2, -1], "abcdabc", "smmsssn", [0.5, 2, 1, 1, 1, 4, 9])
    exponent, mantissa = by_field(FaultRows.read(table), FIELDS)
    assert [exponent[name] for name in ("field", "low", "high", "rows")] == ["exponent", 3, 6, 3]
    assert exponent["sdc"] == pytest.approx((0.125 + 1 / 3) / (0.125 + 0.5 + 1 / 3))
    assert (mantissa["field"], mantissa["rows"]) == ("mantissa", 2)
    assert mantissa["sdc"] == pytest.approx((4 / 3) / (4 / 3 + 0.25))
    assert [row["bit"] for row in by_bit(FaultRows.read(table))] == [0, 2, 3, 6]


def test_a_field_of_one_bit_is_that_bit_and_one_of_all_bits_is_the_site() -> None:
    random = np.random.default_rng(1)
    images = "".join("abcdefghij"[i] for i in random.integers(0, 10, 200))
    outcomes = "".join("snmb"[i] for i in random.integers(0, 4, 200))
    table = rows("p" * 200, random.integers(0, 8, 200).tolist(), images, outcomes, random.uniform(0.1, 2, 200).tolist())
    struck = FaultRows.read(table)
    of_bit = by_bit(struck, 0.95)[7]
    (sign, _, _) = by_field(struck, FIELDS, 0.95)
    assert {name: sign[name] for name in of_bit if name != "bit"} == {n: of_bit[n] for n in of_bit if n != "bit"}
    (whole,) = by_field(FaultRows.read(table.set_column(4, "weight", pa.array([1.0] * 200))), {"value": (0, 7)}, 0.95)
    facts = {"site": "p", "op": "conv", "per_image": True, "neurons": 1, "macs": 1}
    plain = table.set_column(4, "weight", pa.array([1.0] * 200)).append_column("dloss", pa.array([0.1] * 200))
    site = vulnerability_row(facts, FaultColumns.read(plain), 0.95)
    for name in ("sdc", "failure"):
        found = [whole[name], whole[f"{name}_low"], whole[f"{name}_high"]]
        assert found == pytest.approx([site[f"{name}_rate{end}"] for end in ("", "_low", "_high")])


def test_a_failure_is_sdc_or_non_finite_and_the_shares_add_up() -> None:
    (row,) = by_bit(FaultRows.read(rows("pppp", [3] * 4, "abcd", "snmb", [1] * 4)))
    assert [row[name] for name in ("sdc", "non_finite", "masked", "benign", "failure")] == [0.25] * 4 + [0.5]


def test_the_interval_of_one_site_and_bit_is_that_of_the_site() -> None:
    random = np.random.default_rng(0)
    images = "".join("abcdefghij"[i] for i in random.integers(0, 10, 200))
    outcomes = "".join("sm"[int(i)] for i in random.random(200) > 0.2)
    table = rows("p" * 200, [5] * 200, images, outcomes, [1.0] * 200)
    (row,) = by_bit(FaultRows.read(table), 0.95)
    facts = {"site": "p", "op": "conv", "per_image": True, "neurons": 1, "macs": 1}
    site = vulnerability_row(facts, FaultColumns.read(table.append_column("dloss", pa.array([0.1] * 200))), 0.95)
    assert [row["sdc"], row["sdc_low"], row["sdc_high"]] == pytest.approx(
        [site[name] for name in ("sdc_rate", "sdc_rate_low", "sdc_rate_high")]
    )


def test_an_image_is_weighted_as_its_draws_were() -> None:
    """Image a: an SDC of weight 0.5 among p's two rows (1 / 2 each) and a benign row, q's only one; b: no SDC."""
    found = by_image(FaultRows.read(rows("ppq", [1, 2, 3], "aba", "smb", [0.5, 1, 1])))
    assert found.image_id == ["a", "b"]
    assert found.rows.tolist() == [2, 1]
    assert found.top2diff.tolist() == [97 / 200, 98 / 200]
    assert found.sdc_rate.tolist() == pytest.approx([0.5 * 0.5 / (0.5 + 1), 0.0])


def test_faults_in_tensors_are_clusters_of_their_own() -> None:
    table = rows("ppqq", [0] * 4, "abab", "smsm", [1] * 4).set_column(0, "fault", pa.array([0, 0, 0, 0]))
    cluster_N = FaultRows.read(table, "fault").cluster
    assert cluster_N[0] == cluster_N[1] != cluster_N[2] == cluster_N[3]


def test_spearman_is_scipys_and_its_interval_that_of_bonett_and_wright() -> None:
    x_I, y_I = np.arange(20.0), np.array([*range(1, 20), 0.0])
    found = spearman(x_I, y_I, 0.95)
    assert found.coefficient == pytest.approx(scipy.stats.spearmanr(x_I, y_I).statistic)
    half = 1.959963985 * math.sqrt((1 + found.coefficient**2 / 2) / 17)
    assert found.low == pytest.approx(math.tanh(math.atanh(found.coefficient) - half))
    assert found.high == pytest.approx(math.tanh(math.atanh(found.coefficient) + half))


@pytest.mark.parametrize(("x", "y"), [([1.0] * 5, range(5)), (range(5), [0.0] * 5), (range(3), range(3))])
def test_without_variation_or_images_there_is_no_correlation(x, y) -> None:
    found = spearman(np.array(x, float), np.array(y, float))
    assert all(math.isnan(number) for number in found[:3])
