"""The report on feature maps: the rows of the artifact, the order's convergence, and campaigns without maps."""

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from report_pages import Notes, Page, draw_only
from toys import write_toy_dataset
from toys_artifacts import invoke

from tgr_cli.campaign import feature_maps
from tgr_cli.errors import TgrError
from tgr_cli.report import feature_maps as section
from tgr_cli.report.measured import Run
from tgr_cli.report.theme import LIGHT
from tgr_cli.steps.report import Config, run

RUN = Path("runs/toy/toys-build_toy-baseline")


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the options of campaigns on the toy; the report's plots are not drawn."""
    draw_only(monkeypatch)
    folder = write_toy_dataset(tmp_path / "toy")
    grey = ["--crop", "8", "--mean", "0.5", "--std", "0.5", "--weights", "none", "--label", "golden", "-q"]
    return ["--model", "toys:build_toy", "--dataset", f"parquet:{folder}", *grey]


def page() -> Page:
    made = run(Config(runs=[RUN.name], dataset="parquet:toy"), Notes())
    return Page(made.path.read_text(encoding="utf-8"))


def test_the_page_shows_maps_by_layer_and_how_their_order_converges(toy: list[str]) -> None:
    invoke("inject", *toy, "--granularity", "map", "--injections", 96, "--seed", 2)
    shown, maps = page(), pd.read_parquet(RUN / "feature_maps.parquet")
    rows = pd.DataFrame(shown.csv["feature-maps.csv"])
    assert rows.site.tolist() == maps.site.tolist()
    for name in ("v_orig", "v_dloss", "v_dloss_high", "v_sdc"):
        assert rows[name].astype(float).tolist() == maps[name].tolist()
    study = feature_maps.study(RUN / "injections.parquet")
    assert study is not None
    assert study.held is not None
    assert 1 / 3 < study.held <= 1
    assert f"the most vulnerable third of the 10 feature maps holds {100 * study.held:.0f}\u00a0% of V" in shown.text
    assert f"V_CNN by mismatch {study.v_cnn['v_sdc'][0]:#.3g} (" in shown.text
    curve = pd.DataFrame(shown.csv["convergence.csv"])
    assert curve[["independent", "oracle_faults"]].drop_duplicates().values.tolist() == [
        ["False", "96"],
        ["True", "48"],
    ]
    whole = curve[curve.independent == "False"]
    assert whole.faults.astype(int).max() == 96
    assert float(whole.distance_sdc.iloc[-1]) == 0
    assert "the oracle of 96 faults a map from" in shown.text
    panels = [panel for plot in section.figures([Run("toy", maps=study)]) for panel in plot.panels]
    for panel in panels:
        axes = Figure().add_subplot()
        panel.draw(axes, LIGHT)
        if panel.key.startswith("feature_maps"):
            tops = [bar.get_y() + bar.get_height() for bar in axes.patches]
            assert max(tops) == 6  # conv2 has the most maps
            assert sum(bar.get_height() for bar in axes.patches) == 10

    # A campaign over whole sites leaves the artifact of the one before, which is not shown.
    invoke("inject", *toy, "--injections", 20, "--restart")
    assert "feature-maps.csv" not in page().csv


def test_feature_maps_that_are_missing_are_left_out_and_damaged_ones_refused(toy: list[str]) -> None:
    invoke("inject", *toy, "--granularity", "map", "--injections", 4, "--limit", "none")
    assert "V_CNN by mean dLoss" not in page().text  # which few faults dominate without a range limit
    maps = RUN / "feature_maps.parquet"
    maps.unlink()
    said = invoke("report", RUN.name, "--dataset", "parquet:toy").stderr
    assert "feature maps are left out, as" in said
    assert f'{maps.name} does not exist; run the same "tgr inject --granularity map" again' in " ".join(said.split())
    assert "feature-maps.csv" not in page().csv
    maps.write_bytes((RUN / "vulnerability.parquet").read_bytes())
    with pytest.raises(TgrError, match='is of kind "vulnerability", where "feature_maps" is expected'):
        page()
