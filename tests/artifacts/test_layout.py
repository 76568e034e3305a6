"""File names are defined in one module and stay within their folder."""

from pathlib import Path

import pytest

from tgr_cli.artifacts.layout import (
    Workspace,
    feature_maps_beside,
    of_format,
    of_target,
    variant_name,
    vulnerability_beside,
)
from tgr_cli.errors import TgrError


def test_run_folders_name_model_head_initialisation_and_seed() -> None:
    space = Workspace(Path("runs"), "digits")
    assert space.run("resnet18", "baseline").path == Path("runs/digits/resnet18-baseline")
    assert space.run("timm:a/b", "text", "descriptions", 3).path == Path("runs/digits/timm-a-b-text-descriptions-s3")


def test_a_variant_ends_the_name_of_a_run_folder() -> None:
    space = Workspace(Path("runs"), "digits")
    assert space.run("lenet5", "baseline", variant="dropout-0.2").name == "lenet5-baseline-dropout-0.2"
    assert space.run("lenet5", "text", "template", 2, "lr0.1").name == "lenet5-text-template-s2-lr0.1"


@pytest.mark.parametrize("name", ["s3", "s12-wide", "template", "random-x", "0a1b2c3d", "x-deadbeef"])
def test_a_variant_is_no_other_part_of_the_name(name: str) -> None:
    with pytest.raises(TgrError, match=rf'--variant "{name}" reads as another part of a run\'s name'):
        variant_name(name)


@pytest.mark.parametrize("name", ["", "a/b", "..", "caf\udce9", "é", "-x", "a b", "x\n"])
def test_a_variant_can_name_a_folder(name: str) -> None:
    with pytest.raises(TgrError, match=r"(?s)--variant .* cannot name a folder"):
        variant_name(name)


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "", ".hidden", "-x"])
def test_a_name_that_leaves_its_folder_is_refused(name: str) -> None:
    with pytest.raises(TgrError, match="cannot name a folder"):
        Workspace(Path("runs"), name)


def test_runs_of_a_model_are_those_with_a_card(tmp_path: Path) -> None:
    for name in ("a-baseline", "a-text-template", "b-baseline"):
        (tmp_path / "d" / name).mkdir(parents=True)
        (tmp_path / "d" / name / "model.json").write_text("{}")
    (tmp_path / "d" / "a-cosine").mkdir()
    assert [run.name for run in Workspace(tmp_path, "d").runs("a")] == ["a-baseline", "a-text-template"]


def test_each_target_has_files_of_its_own() -> None:
    run = Workspace(Path("runs"), "d").run("net", "baseline")
    assert of_target(run.injections, "neuron") == run.injections
    assert of_target(run.injections, "weight") == run.path / "injections-weight.parquet"
    assert vulnerability_beside(run.injections) == run.vulnerability
    assert feature_maps_beside(run.injections) == run.feature_maps
    assert feature_maps_beside(Path("x.parquet")) == Path("x-feature_maps.parquet")
    assert vulnerability_beside(of_target(run.injections, "bias")) == of_target(run.vulnerability, "bias")
    assert vulnerability_beside(Path("injections-1-of-2.parquet")) == Path("injections-1-of-2-vulnerability.parquet")
    assert of_target(run.vulnerability, "buffer") in run.measurements


def test_each_number_format_has_files_of_its_own(tmp_path: Path) -> None:
    run = Workspace(tmp_path, "d").run("net", "baseline")
    assert of_format(run.golden, None, None) == run.golden
    assert of_format(run.golden, "int8", None).name == "golden-int8.parquet"
    assert of_format(run.golden, "float:e=4,m=3", "int4").name == "golden-float-e-4-m-3-weights-int4.parquet"
    assert of_format(run.ranges, None, "int8").name == "ranges-weights-int8.parquet"
    struck = of_target(of_format(run.injections, "int8", "int8"), "weight")
    assert struck.name == "injections-int8-weights-int8-weight.parquet"
    assert vulnerability_beside(struck).name == "vulnerability-int8-weights-int8-weight.parquet"
    assert of_format(run.golden, "int8", None) not in run.measurements
    run.path.mkdir(parents=True)
    of_format(run.golden, "int8", None).touch()
    assert of_format(run.golden, "int8", None) in run.measurements
