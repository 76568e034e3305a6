import json

import pytest
import torch
from processes import tgr

from tgr_cli.models import zoo
from tgr_cli.steps import models

# "Hardware Resilience Properties of Text-Guided Image Classifiers", NeurIPS 2023, table 1: text-guided minus baseline,
# parameters and FLOPs (multiply-accumulates) in millions.
TABLE_1 = {
    "alexnet": (-1.49, -1.50),
    "vgg16_bn": (-1.49, -1.50),
    "vgg19_bn": (-1.49, -1.50),
    "resnet18": (0.26, 0.26),
    "resnet34": (0.26, 0.26),
    "resnet50": (-0.49, -0.49),
    "resnet101": (-0.49, -0.49),
    "resnet152": (-0.49, -0.50),
    "mobilenet_v2": (-0.11, -0.09),
    "maxvit_t": (0.26, 0.28),
    "swin_v2_t": (0.13, 0.15),
    "swin_v2_s": (0.13, 0.15),
    "focalnet_t": (0.13, 0.14),
    "focalnet_s": (0.13, 0.14),
}
# torchvision 0.29 documentation, table of classification weights: parameters and GFLOPs (multiply-accumulates) of
# IMAGENET1K_V1, which count attention's products too; timm's results table for focalnet_tiny_srf: 28.43 M, 4.42 G.
LIBRARIES = {
    "alexnet": (61_100_840, 0.71e9),
    "vgg16_bn": (138_365_992, 15.47e9),
    "resnet50": (25_557_032, 4.09e9),
    "mobilenet_v2": (3_504_872, 0.30e9),
    "squeezenet1_1": (1_235_496, 0.35e9),
    "shufflenet_v2_x1_0": (2_278_604, 0.14e9),
    "googlenet": (6_624_904, 1.50e9),
    "focalnet_t": (28_427_116, 4.42e9),
}


@pytest.fixture(scope="module")
def rows() -> dict[str, models.ModelRow]:
    before = torch.random.get_rng_state()
    found = {row.name: row for row in models.run()}
    assert torch.equal(torch.random.get_rng_state(), before)
    return found


def test_every_model_of_the_zoo_has_a_row(rows: dict[str, models.ModelRow]) -> None:
    assert list(rows) == list(zoo.ZOO)


@pytest.mark.parametrize("name", TABLE_1)
def test_what_the_text_head_adds_is_table_1(rows: dict[str, models.ModelRow], name: str) -> None:
    params, flops = TABLE_1[name]
    assert rows[name].text_params_delta / 1e6 == pytest.approx(params, abs=0.01)
    assert rows[name].text_macs_delta / 1e6 == pytest.approx(flops, abs=0.03)


@pytest.mark.parametrize("name", LIBRARIES)
def test_sizes_are_those_the_libraries_publish(rows: dict[str, models.ModelRow], name: str) -> None:
    params, macs = LIBRARIES[name]
    assert rows[name].params == params
    assert rows[name].macs == pytest.approx(macs, abs=0.02e9)


def test_the_squeezenet_head_is_a_convolution_over_13_by_13_places(rows: dict[str, models.ModelRow]) -> None:
    assert rows["squeezenet1_1"].text_macs_delta == 512 * 512 * 13 * 13 + 512 * 1000 - 512 * 1000 * 13 * 13


def test_the_command_prints_json_rows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    from tgr_cli.commands.models import models as command

    monkeypatch.setattr(zoo, "ZOO", {"lenet5": zoo.ZOO["lenet5"]})
    app = typer.Typer()
    app.command()(command)
    app(["--json", "--quiet"], standalone_mode=False)
    (row,) = json.loads(capsys.readouterr().out)
    assert row == {
        "name": "lenet5",
        "input_size": [1, 32, 32],
        "params": 145_856,
        # 6·25·28² + 16·6·25·10² + 400·120 + 120·84 + 84·1000
        "macs": 117_600 + 240_000 + 48_000 + 10_080 + 84_000,
        "text_params_delta": 512 * 85 + 512_000 + 1 - 85_000,
        "text_macs_delta": 512 * 84 + 512_000 - 84_000,
    }


def test_help_says_what_the_columns_assume() -> None:
    ran = tgr("models", "--help")
    assert ran.code == 0
    assert "1000 classes and embeddings of 512 dimensions" in " ".join(ran.out.split())
