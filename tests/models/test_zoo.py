"""Models of the zoo, of libraries and of the user's functions are built by name, each with its published size."""

import sys
from pathlib import Path

import pytest
import torch
from processes import Running

from tgr_cli.errors import TgrError
from tgr_cli.models import weights, zoo
from tgr_cli.models.lenet_names import LENETS


@pytest.mark.parametrize("name", [*LENETS, "digits_cnn", "resnet20", "squeezenet1_1"])
def test_a_model_answers_images_of_its_own_size_with_the_classes_asked_for(name: str) -> None:
    model = zoo.build(name, 7).eval()
    with torch.no_grad():
        assert model(torch.zeros(2, *zoo.default_preprocessing(name).input_shape)).shape == (2, 7)


def test_weights_depend_on_the_seed_alone_and_no_global_generator_moves() -> None:
    before = torch.random.get_rng_state()
    first = weights.fingerprint(zoo.build("resnet20", 10, seed=3))
    torch.rand(5)
    torch.random.set_rng_state(before)
    assert weights.fingerprint(zoo.build("resnet20", 10, seed=3)) == first
    assert weights.fingerprint(zoo.build("resnet20", 10, seed=4)) != first
    assert torch.equal(torch.random.get_rng_state(), before)


# He et al., "Deep residual learning for image recognition", CVPR 2016, table 6: millions of parameters.
@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_cifar_resnets_have_the_published_size_and_depth(depth: int, millions: float) -> None:
    model = zoo.build(f"resnet{depth}", 10)
    assert weights.parameters(model) / 1e6 == pytest.approx(millions, abs=0.007)
    assert sum(isinstance(m, torch.nn.Conv2d | torch.nn.Linear) for m in model.modules()) == depth


def test_the_shortcut_of_a_cifar_resnet_takes_every_second_pixel_and_pads_maps_on_both_sides() -> None:
    block = zoo.build("resnet20", 10).eval().layer2[0]  # type: ignore[index,union-attr]
    with torch.no_grad():
        block.bn2.weight.zero_()  # leaves only the shortcut
        x_BCHW = torch.rand(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
        y_BCHW = block(x_BCHW)
    assert torch.equal(y_BCHW[:, 8:24], x_BCHW[:, :, ::2, ::2])
    assert not y_BCHW[:, :8].any()
    assert not y_BCHW[:, 24:].any()


def test_lenet5_has_its_61706_parameters_and_the_wide_one_a_third_convolution() -> None:
    assert (
        weights.parameters(zoo.build("lenet5", 10)) == 61_706
    )  # 156 + 2416 + 48120 + 10164 + 850, LeCun's with full C3
    wide = zoo.build("lenet5_wide", 10)
    assert [n for n, m in wide.named_modules() if isinstance(m, torch.nn.Conv2d)] == ["conv1", "conv2", "conv3"]


@pytest.mark.parametrize(
    ("name", "inputs", "parameters"),
    [
        # "400 for CIFAR10 and 256 for other datasets" (the robust-training paper, section III-D).
        ("lenet5_28", 256, 156 + 2416 + 30_840 + 10_164 + 850),
        ("lenet5_28_rgb", 256, 456 + 2416 + 30_840 + 10_164 + 850),
        ("lenet5_rgb", 400, 456 + 2416 + 48_120 + 10_164 + 850),
        ("lenet5_28_half", 128, 78 + 608 + 7_740 + 2_562 + 430),
        ("lenet5_28_double", 512, 312 + 9_632 + 123_120 + 40_488 + 1_690),
        ("lenet5_wide_28", 2048, 832 + 51_264 + 73_856 + 1_049_088 + 131_328 + 2_570),
        ("lenet5_wide_rgb_half", 1600, 1_216 + 12_832 + 18_496 + 409_856 + 32_896 + 1_290),
    ],
)
def test_a_lenet_has_the_inputs_and_the_neurons_that_its_name_says(name: str, inputs: int, parameters: int) -> None:
    model = zoo.build(name, 10)
    assert model.get_submodule("fc1").in_features == inputs
    assert weights.parameters(model) == parameters
    assert zoo.default_preprocessing(name).input_shape == ((3,) if "rgb" in name else (1,)) + (
        (28, 28) if "28" in name else (32, 32)
    )


def test_prefixes_reach_the_libraries() -> None:
    with torch.device("meta"):
        assert type(zoo.build("torchvision:resnet18", 3)).__module__ == "torchvision.models.resnet"
        assert type(zoo.build("timm:resnet18.a1_in1k", 3)).__module__ == "timm.models.resnet"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet19", 'there is no model "resnet19"; "tgr models" lists the names'),
        ("resnet19", 'Did you mean "resnet1'),
        ("torchvision:resnet19", 'torchvision has no classifier "resnet19"'),
        ("torchvision:fcn_resnet50", 'torchvision has no classifier "fcn_resnet50"'),  # a segmentation model
        ("timm:resnet19", 'timm has no model "resnet19"'),
        ("timm:resnet18.nonsense", 'timm has no weights "nonsense" for resnet18'),
        ("torchvision:", 'there is no model "torchvision:"'),
        ("no_such_module:build", '"no_such_module" cannot be imported (ModuleNotFoundError'),
        ("json:lods", 'json has no function "lods".'),
        ("json:lods", 'Did you mean "loads"?'),
        ("json:decoder", 'json has no function "decoder"'),
        ("collections:OrderedDict", "returned a OrderedDict, where a torch nn.Module is expected"),
        ("random:Random", "returned a Random, where a torch nn.Module is expected"),
        ("os:abort_not", 'os has no function "abort_not"'),
        ("hf-hub:nobody/nothing", "the configuration of hf-hub:nobody/nothing could not be fetched"),
    ],
)
def test_an_unknown_model_is_one_sentence(name: str, words: str) -> None:
    with pytest.raises(TgrError) as caught:
        zoo.build(name, 3)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_function_of_the_current_folder_is_called_with_num_classes_where_it_takes_them(tmp_path: Path) -> None:
    code = "import torch\ndef takes(num_classes): return torch.nn.Linear(4, num_classes)\n"
    code += "def any(**options): return torch.nn.Linear(4, options['num_classes'])\n"
    code += "def fixed(): return torch.nn.Linear(4, 5)\ndef fails(): raise ValueError('first\\nsecond')\n"
    (tmp_path / "my_own_models.py").write_text(code)
    before = list(sys.path)
    outputs = [zoo.build(f"my_own_models:{name}", 3).out_features for name in ("takes", "any", "fixed")]
    assert outputs == [3, 3, 5]
    with pytest.raises(TgrError, match=r"my_own_models:fails failed when called \(ValueError: first\); mend the func"):
        zoo.build("my_own_models:fails", 3)
    assert sys.path == before


COMPILED = """
import torch
from torch import nn

def layers():
    torch.manual_seed(0)
    return [nn.Flatten(), nn.Linear(12, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 4)), nn.Linear(4, 3)]

def plain():
    return nn.Sequential(*layers())

def whole():
    return torch.compile(plain())

def parts():
    flat, first, middle, last = layers()
    middle[1] = torch.compile(middle[1])
    return nn.Sequential(flat, torch.compile(first), torch.compile(middle), last)

def in_place():
    model = plain()
    model.compile()
    model[2][1].compile()
    return model

def shared():
    flat, first, middle, last = layers()
    twice = torch.compile(middle)
    return nn.Sequential(flat, first, twice, twice, last)
"""


@pytest.mark.parametrize("name", ["whole", "parts", "in_place", "shared"])
def test_compiled_parts_of_a_user_s_model_are_taken_as_what_they_were_made_from(name: str) -> None:
    Path("compiled_nets.py").write_text(COMPILED, encoding="utf-8")
    plain, model = (zoo.build(f"compiled_nets:{which}", 3) for which in ("plain", name))
    assert not any(hasattr(m, "_orig_mod") or m._compiled_call_impl is not None for m in model.modules())
    x_BCHW = torch.rand(2, 3, 2, 2)
    if name == "shared":
        assert model[2] is model[3]
        assert list(dict(model.named_modules(remove_duplicate=False))) == [
            *("", "0", "1", "2", "2.0", "2.1", "3", "3.0", "3.1", "4")
        ]
        return
    assert list(model.state_dict()) == list(plain.state_dict())
    assert torch.equal(model(x_BCHW), plain(x_BCHW))


def test_fingerprints_are_equal_in_another_process() -> None:
    code = "from tgr_cli.models import zoo, weights; print(weights.fingerprint(zoo.build('digits_cnn', 10, seed=1)))"
    done = Running(exec, code).wait()
    assert done.out.strip() == weights.fingerprint(zoo.build("digits_cnn", 10, seed=1))
