from pathlib import Path

import pytest
from toys_artifacts import site, stored_in, write_golden, write_injections

from tgr_cli.artifacts.layout import RunFolder, Workspace, deployed_name
from tgr_cli.artifacts.measurements import deployments, evaluated, measured_run
from tgr_cli.errors import TgrError

WORKSPACE = Workspace(Path("runs"), "digits")
NET = WORKSPACE.path / "net-baseline"
POSIT = stored_in("posit:n=6,es=1", 6, sign=[5, 5], body=[0, 4])


def golden(file: str, folder: Path = NET, **extra: object) -> None:
    write_golden(folder / file, {"a": 0.5}, run="net-baseline", model="net", extra=extra)


def injections(file: str, target: str = "neuron", **extra: object) -> None:
    write_injections(NET / file, [(site("fc"), "s", "a", [1])], model="net", target=target, extra=extra)


@pytest.fixture(autouse=True)
def _measured() -> None:
    golden("golden.parquet")
    golden("golden-int8.parquet", **stored_in("int8"))
    injections("injections-int8.parquet", **stored_in("int8"))
    golden("golden-posit-n-6-es-1.parquet", **POSIT)
    golden("golden-weights-int8-channel.parquet", weight_format="int8:channel")
    injections("injections-weight.parquet", "weight")
    injections("injections-weight-weights-int8-channel.parquet", "weight", weight_format="int8:channel")


NAMES = {
    "net-baseline": ("golden.parquet", "injections.parquet"),
    "net-baseline-int8": ("golden-int8.parquet", "injections-int8.parquet"),
    "net-baseline-posit-n-6-es-1": ("golden-posit-n-6-es-1.parquet", "injections-posit-n-6-es-1.parquet"),
    "net-baseline-weights-int8-channel": (
        "golden-weights-int8-channel.parquet",
        "injections-weights-int8-channel.parquet",
    ),
    "net-baseline-weight": ("golden.parquet", "injections-weight.parquet"),
    "net-baseline-weight-weights-int8-channel": (
        "golden-weights-int8-channel.parquet",
        "injections-weight-weights-int8-channel.parquet",
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_measurement_is_named_after_its_folder_target_and_formats(name: str) -> None:
    named = measured_run(WORKSPACE, name)
    assert (named.called, named.golden.name, named.injections.name) == (name, *NAMES[name])
    assert named.vulnerability.name == named.injections.name.replace("injections", "vulnerability")
    assert measured_run(WORKSPACE, str(WORKSPACE.path / name)) == named
    file = named.injections if named.injections.exists() else named.golden
    assert measured_run(Workspace(Path("elsewhere"), "other"), str(file)) == named


@pytest.mark.parametrize("folder", ["onnx-net.onnx-baseline", "timm-resnet18.a1_in1k-text-clip"])
def test_a_dot_in_the_name_of_a_folder_ends_no_name(folder: str) -> None:
    for target, formats, more in (("neuron", "int8", "-int8"), ("weight", "", "-weight"), ("bias", "fp8", "-bias-fp8")):
        assert RunFolder(WORKSPACE.path / folder, target, formats).called == folder + more
    assert deployed_name(folder, "int8", "int8:channel") == f"{folder}-int8-weights-int8-channel"


def test_deployments_are_known_by_what_the_files_say_and_not_by_other_names() -> None:
    golden("golden-mine.parquet")
    golden("golden-bfloat16.parquet", **stored_in("int8"))
    injections("injections-old.parquet", **stored_in("int8"))
    named = [each.called for each in deployments(RunFolder(NET))]
    assert sorted(named) == sorted(
        name for name in NAMES if "weight-" not in name and name != "net-baseline" and not name.endswith("-weight")
    )
    in_weights = [each.called for each in deployments(RunFolder(NET, "weight"))]
    assert in_weights == ["net-baseline-weight-weights-int8-channel"]
    assert [each.called for each in evaluated(WORKSPACE)][:2] == ["net-baseline", "net-baseline-int8"]
    for wrong in ("net-baseline-mine", "net-baseline-bfloat16", "net-baseline-old"):
        with pytest.raises(TgrError, match=f'there is no run "{wrong}" in runs/digits; it holds net-baseline, net-'):
            measured_run(WORKSPACE, wrong)
    with pytest.raises(
        TgrError, match=r"golden-mine\.parquet is no measurement of a run under the name that tgr gives"
    ):
        measured_run(WORKSPACE, str(NET / "golden-mine.parquet"))


def test_a_name_of_a_folder_and_of_a_deployment_is_refused_and_both_have_paths() -> None:
    other = WORKSPACE.path / "net-baseline-int8"
    golden("golden.parquet", other)
    with pytest.raises(TgrError) as refused:
        measured_run(WORKSPACE, "net-baseline-int8")
    file = f"{NET}/golden-int8.parquet"
    assert str(refused.value) == f'"net-baseline-int8" may be {other} or {file}; name one of these paths'
    assert measured_run(WORKSPACE, str(other)) == RunFolder(other)
    assert measured_run(WORKSPACE, file) == RunFolder(NET, formats="int8")
