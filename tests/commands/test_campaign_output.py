import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tgr_cli.commands.campaign_output import print_campaign
from tgr_cli.commands.console import Console
from tgr_cli.metrics.summary import FaultColumns, NetworkEstimates, network, vulnerability_row

SITE = {"site": "conv", "op": "conv", "per_image": True, "neurons": 10, "macs": 500}


def campaign(images: int) -> SimpleNamespace:
    ids = np.arange(images)
    faults = FaultColumns(
        site=np.full(images, "conv", object),
        image_id=ids,
        cluster=ids,
        stratum=np.zeros(images, np.int64),
        outcome=np.where(ids % 2, "sdc", "benign").astype(object),
        weight=np.ones(images),
        image_excess=np.zeros(images),
        dloss=1.0 + ids % 2,
    )
    return SimpleNamespace(
        run="net",
        limited=True,
        format="float32",
        struck_format="float32",
        fault_model="flip",
        pattern="element",
        faults_are="flip",
        faults=images,
        rows=images,
        sites=[vulnerability_row(SITE, faults)],
        network=network([SITE], faults),
        maps=None,
        injections=Path("injections.parquet"),
        vulnerability=Path("vulnerability.parquet"),
        warning="" if images > 50 else "about 480 faults a site would do",
    )


def test_json_gives_every_figure_of_the_network_with_its_interval(capsys):
    print_campaign(Console(quiet=True, as_json=True), campaign(100))
    printed = json.loads(capsys.readouterr().out)["network"]
    assert set(printed) == set(NetworkEstimates.__dataclass_fields__)
    for figure in printed.values():
        assert set(figure) == {"mean", "low", "high", "effective"}
        assert figure["low"] < figure["mean"] < figure["high"]
    assert printed["v_cnn"]["mean"] == pytest.approx(500 * printed["v_cnn_share"]["mean"])


def test_json_has_nulls_where_no_interval_can_be_formed(capsys):
    print_campaign(Console(quiet=True, as_json=True), campaign(1))
    printed = json.loads(capsys.readouterr().out)
    assert printed["network"]["mean_dloss"] == {"mean": 1.0, "low": None, "high": None, "effective": 1.0}


@pytest.mark.parametrize(("images", "marked"), [(100, False), (20, True)])
def test_the_table_marks_what_rests_on_too_little(capsys, images, marked):
    print_campaign(Console(), campaign(images))
    shown = capsys.readouterr()
    before = "(~1." if marked else "(1."
    assert f"weighted by share of MACs (V_CNN): mean dLoss 1.5 {before}" in shown.out
    assert shown.out.count("~1.") == (3 if marked else 0)  # the site's, and the network's two
    assert ("about 480 faults a site would do" in shown.err) is marked
    assert ("~ marks figures that rest on too few images or faults" in shown.err) is marked
