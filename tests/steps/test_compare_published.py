"""`tgr compare --published`: the papers' figures beside the measured ones, and where they disagree with each other."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup
from toys_artifacts import invoke, site, write_golden, write_injections

from tgr_cli.models.names import FROM_LIBRARIES
from tgr_cli.published import figures
from tgr_cli.published.protocols import PROTOCOLS
from tgr_cli.report import plotting
from tgr_cli.steps import report
from tgr_cli.steps.compare import Config, run

IMAGES = {"a": 0.5, "b": 0.6, "c": 0.1, "d": 0.2}
PUBLISHED = {**PROTOCOLS["neurips"].options["inject"], "lasting": False}


def measured(
    model: str, head: str, dataset: str = "imagenet", size: float = 1.0, run: str = "", wrong: str = "", **config: Any
) -> str:
    """Write a run whose mean dLoss is 4 × size at its convolution and 10 × size at its last layer; return its name."""
    run = run or f"{model.replace(':', '-')}-{head}"
    folder, last = Path("runs") / dataset / run, "head" if head.startswith("text") else "fc"
    write_golden(folder / "golden.parquet", IMAGES, wrong, run=run, model=run)
    struck = [
        (site("conv", "conv", neurons=400, macs=1000), "sbb", "abc", [6 * size, 4 * size, 2 * size]),
        (site(last, macs=50), "sbs", "abc", [6 * size, 10 * size, 14 * size]),
    ]
    extra = {"run": run, "dataset": dataset, "last_sites": [last]}
    source = {"model": model, "head": None, "init": None}
    settings = PUBLISHED | {"source": source} | config
    write_injections(folder / "injections.parquet", struck, model=run, config=settings, extra=extra)
    return run


def beside(baseline: str, *candidates: str, dataset: str = "imagenet") -> Any:
    return run(Config(baseline=baseline, candidates=candidates, dataset=dataset)).beside


def test_a_text_head_stands_beside_every_table_that_has_it() -> None:
    """NeurIPS 2023: ResNet-50 in Table 1 and Table 3; the family's means over Table 1 by hand."""
    found = beside(measured("resnet50", "baseline", wrong="d"), measured("resnet50", "text-descriptions", size=0.5))
    rows = {(row["figure"], row["source"]): row for row in found.rows}
    one, three = "NeurIPS 2023, Table 1", "NeurIPS 2023, Table 3"
    assert [rows["last_layer", where]["published"] for where in (one, three)] == [4.48, 6.09]
    assert [rows["overall", where]["published"] for where in (one, three)] == [2.96, 3.93]
    assert rows["overall", one]["measured"] == pytest.approx(2)
    assert rows["overall", one]["low"] <= 2 <= rows["overall", one]["high"]
    assert rows["last_layer_by_macs", one]["published"] == 4.48
    assert rows["last_layer", one]["family_mean"] == pytest.approx((2.87 + 3.89 + 4.48 + 4.33 + 4.47) / 5)
    assert rows["overall", three]["family"] == "ResNet"
    assert rows["overall", three]["family_mean"] == pytest.approx((1.91 + 2.53 + 2.96 + 2.77 + 2.85) / 5)
    accuracy, candidate = (rows[f"accuracy_{side}", one] for side in ("baseline", "candidate"))
    assert (accuracy["measured"], accuracy["published"], accuracy["family"]) == (0.75, 0.7564, None)
    assert (candidate["measured"], candidate["published"]) == (1, 0.7484)
    assert rows["top2diff", one]["measured"] == pytest.approx(0.35 - 0.4)
    assert ("top2diff", three) not in rows
    assert found.sentences == [
        f"Published figures disagree on the factor of the last layer of resnet50: 4.48 ({one}), 6.09 ({three})",
        f"Published figures disagree on the overall factor of resnet50: 2.96 ({one}), 3.93 ({three})",
    ]


def test_other_data_sets_and_initialisations_have_figures_of_their_own() -> None:
    names = [measured("resnet50", head, "cifar10") for head in ("baseline", "text-descriptions", "text-template")]
    found = beside(*names, dataset="cifar10")
    assert {row["published"] for row in found.rows if row["figure"] == "overall"} == {1.71}
    assert {row["family"] for row in found.rows} == {None}  # the families' means are on ImageNet
    assert found.sentences == [
        "resnet50-text-template has no published figure: resnet50 on cifar10 with a head from template is in none of "
        "their tables"
    ]
    template = beside(measured("resnet50", "baseline"), measured("resnet50", "text-template-s3"))
    assert [row["published"] for row in template.rows if row["figure"] == "overall"] == [3.28]
    assert template.sentences == []
    random = beside("resnet50-baseline", measured("resnet50", "cosine"))  # a text head from random vectors
    assert [row["published"] for row in random.rows if row["figure"] == "last_layer"] == [1.74]


def test_timm_s_name_of_a_published_model_is_that_model() -> None:
    model = "timm:focalnet_small_srf"
    found = beside(measured(model, "baseline"), measured(model, "text-descriptions"))
    sources = [(row["published"], row["source"]) for row in found.rows if row["figure"] == "last_layer"]
    assert sources == [(4.73, "NeurIPS 2023, Table 1"), (2.73, "the authors' README")]


def test_the_papers_text_is_held_against_its_table() -> None:
    (said,) = figures.disagreements("vgg16_bn", "imagenet", "descriptions")
    assert "last layer, mean over the VGG family: 13.68 (NeurIPS 2023, section 6), 13.86 (the mean of its rows" in said
    assert not list(figures.disagreements("resnet18", "imagenet", "descriptions"))  # 4.01 and 2.61 are 4.008 and 2.604
    assert not list(figures.disagreements("resnet20", "cifar10", "descriptions"))


@pytest.mark.parametrize(
    ("baseline", "candidate", "why"),
    [
        (("resnet20", "baseline"), ("resnet20", "text-descriptions"), "resnet20 on imagenet with a head from"),
        (("resnet34", "baseline"), ("resnet34", "cosine"), "resnet34 on imagenet with a head from random"),
        (("resnet50", "baseline-s1"), ("resnet50", "baseline-s2"), "this is a baseline head against a baseline one"),
        (("resnet50", "cosine"), ("resnet50", "text-descriptions"), "this is a text head against a cosine one"),
        (("resnet34", "baseline"), ("resnet50", "text-descriptions"), "it is resnet50, and the baseline is resnet34"),
        (("resnet50", "baseline"), ("resnet50", "text-descriptions-ranger"), "it is the variant ranger"),
        (("resnet50", "baseline-dropout"), ("resnet50", "text-descriptions"), "the baseline is the variant dropout"),
    ],
)
def test_what_was_not_published_is_said_to_have_no_figure(
    baseline: tuple[str, str], candidate: tuple[str, str], why: str
) -> None:
    found = beside(measured(*baseline), measured(*candidate))
    assert found.rows == []
    (said,) = found.sentences
    assert "has no published figure: " in said
    assert why in said


def test_a_campaign_under_another_protocol_is_told_and_one_of_other_precision_is_not() -> None:
    text = {"sampling": "importance", "injections": 64}
    names = (
        measured("alexnet", "baseline", all_images=True, limit="zero"),
        measured("alexnet", "text-descriptions", all_images=True, limit="zero", **text),
    )
    assert beside(*names).sentences == [
        f"{name} was not injected as published, and its figures are of --all-images (published: without it), "
        "--limit zero (published: clamp)"
        for name in names
    ]


def test_the_command_prints_them_in_every_form() -> None:
    names = measured("vgg16_bn", "baseline"), measured("vgg16_bn", "text-descriptions", size=0.5)
    line = ("compare", *names, "--published")
    shown = invoke(*line).stdout
    assert "Measured and published" in shown
    assert "14.43" in shown
    assert "13.86 (VGG)" in shown
    assert "Published figures disagree on the factor of the last layer, mean over the VGG family: 13.68" in " ".join(
        shown.split()
    )
    assert "Measured and published" not in invoke(*line[:-1]).stdout
    printed = json.loads(invoke(*line, "--json").stdout)["published"]
    assert {row["published"] for row in printed["rows"] if row["figure"] == "overall"} == {9.64}
    assert len(printed["sentences"]) == 1
    assert "| vgg16\\_bn-text-descriptions | mean dLoss, mean over sites (×) " in invoke(*line, "--markdown").stdout
    assert "9.64 & NeurIPS 2023, Table 1" in invoke(*line, "--latex").stdout


def test_the_report_has_them_too_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plotting, "svg", lambda *given: Markup(""))
    pages = []
    for model in ("resnet34", "resnet20"):
        names = measured(model, "baseline"), measured(model, "text-descriptions", size=0.5, limit="zero")
        config = report.Config(runs=names, dataset="imagenet", allow_different=["limit"])
        pages.append(report.run(config).path.read_text(encoding="utf-8"))
    assert "<td>NeurIPS 2023, Table 1</td>" in pages[0]
    assert ">3.89×</td>" in pages[0]
    assert "was not injected as published, and its figures are of --limit zero (published: clamp)." in pages[0]
    assert "ublished figure" not in pages[1]


def test_every_published_model_can_be_built() -> None:
    assert {row.model for row in figures._rows()} <= FROM_LIBRARIES.keys()


@pytest.mark.shared
def test_the_table_is_that_of_the_papers(shared_data: Path) -> None:
    theirs = tomllib.loads((shared_data.parent / "reference" / "published.toml").read_text())["neurips2023"]
    expected = {("Table 1", model, "imagenet"): row for model, row in theirs["table1"].items()}
    for name, row in theirs["table2"].items():
        dataset, _, model = name.partition("_")
        expected["Table 2", model, dataset] = row
    own = {(row.source.rpartition(", ")[2], row.model, row.dataset): row for row in figures._rows()}
    for name, row in expected.items():
        assert (own[name].last_layer, own[name].overall) == (row["last_layer"], row["overall"])
        shares = [100 * (value or 0) for value in (own[name].top2diff, own[name].accuracy_baseline)]
        assert shares == pytest.approx([row["top2diff"], row["acc_baseline"]])
        assert 100 * (own[name].accuracy_candidate or 0) == pytest.approx(row["acc_text"])
    ablated = {row.init: [row.last_layer, row.overall] for row in figures._rows() if "Table 3" in row.source}
    assert ablated == {init: [row["last_layer"], row["overall"]] for init, row in theirs["table3"].items()}
    readme = {row.model: [row.last_layer, row.overall] for row in figures._rows() if "README" in row.source}
    assert readme == theirs["disagreements"]["readme"]
