"""Missing inputs of a command are reported together, in one message, before torch is loaded."""

import re
from pathlib import Path

import pytest
from toys import write_toy_dataset
from toys_artifacts import invoke

from tgr_cli.errors import TgrError
from tgr_cli.preflight import needs

URL = "https://download.pytorch.org/models/"


@pytest.fixture(autouse=True)
def _no_weights_and_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(needs, "reachable", lambda address: False)


def refusal(command: str) -> str:
    with pytest.raises(TgrError) as caught:
        invoke(*command.split())
    assert not Path("runs").exists()
    return str(caught.value)


def test_evaluate_names_the_images_that_a_format_is_fitted_to_where_others_are_missing() -> None:
    message = refusal("evaluate --model vgg16_bn --format bfloat16")
    assert "(3) imagenet has no training images: data/imagenet/train was looked for" in message
    words = "the scales of --format, if it has any, are fitted to values on them: name others with --train-data PATH; "
    assert f"{words}without any, the evaluation images are used" in message
    assert "training images" not in refusal("evaluate --model vgg16_bn")


def test_inject_names_images_weights_and_training_images_at_once(tmp_path: Path) -> None:
    message = refusal("inject --model vgg16_bn")
    assert message.startswith("Three things are missing: (1) imagenet has no evaluation images: data/imagenet/val was ")
    for part in (
        "data/imagenet/val",
        "a folder of images for each class: n01440764, …",
        "--dataset imagefolder:PATH or parquet:PATH",
        f"{URL}vgg16_bn-6c64b313.pth",
        str(tmp_path / "torch/hub/checkpoints/vgg16_bn-6c64b313.pth"),
        "--checkpoint FILE or --weights none",
        "(3) imagenet has no training images: data/imagenet/train was looked for",
        "range limits are profiled on them: name others with --train-data PATH, or use --limit none",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("options", "present", "absent"),
    [
        ("--limit none", "Two things", "range limits"),
        ("--weights none", "Two things", URL),
        ("--weights none --limit none", "imagenet has no evaluation images", "things are missing"),
        ("--target weight", "Two things", "range limits"),
        ("--checkpoint nowhere.pth", "--checkpoint nowhere.pth does not exist", URL),
        ("--surface int8 --limit none", "imagenet has no training images: data/imagenet/train", "CSV"),
        ("--plan nowhere.parquet --faults no.csv", "--faults and --plan are given", "missing"),
        ("--plan nowhere.parquet", '--plan nowhere.parquet does not exist; run "tgr inject --plan-only" first', "CSV"),
        ("--dataset cifar10", "torchvision's weights are for 1,000 classes, where it has 10; run \"tgr train ", URL),
        (
            "--dataset parquet:nowhere",
            "parquet:nowhere does not exist; name a folder with val or test*.parquet, or one Parquet file",
            "range limits",
        ),
        (
            "--dataset imagefolder:nowhere",
            "imagefolder:nowhere does not exist; name a folder val or test with a folder of images for each class",
            "range limits",
        ),
        ("--eval-data here.parquet", "--eval-data here.parquet does not exist", "imagenet/val"),
    ],
)
def test_inject_names_what_is_missing_with_these_options(options: str, present: str, absent: str) -> None:
    message = refusal(f"inject --model vgg16_bn {options}")
    assert present in message
    assert absent not in message


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        (
            "train --model lenet5 --dataset fashion_mnist --head text --checkpoint no.pt",
            [
                "(1) fashion_mnist has no training and evaluation images: data/FashionMNIST",
                "--download, --train-data PATH",
                'runs/fashion_mnist/embeddings-descriptions.parquet does not exist; run "tgr describe --dataset '
                'fashion_mnist" and then "tgr embed --dataset fashion_mnist --init descriptions" first',
                "--checkpoint no.pt does not exist",
            ],
        ),
        ("train --model lenet5 --dataset imagenet", ["Two things", "data/imagenet/train", "data/imagenet/val"]),
        (
            "evaluate --model lenet5 --dataset cifar10",
            [
                "data/cifar-10-batches-py",
                "runs/cifar10 holds no trained lenet5, and no library has weights of it; run "
                '"tgr train --dataset cifar10 --model lenet5" first',
            ],
        ),
        (
            "evaluate --model lenet5 --dataset digits --head text",
            ['run "tgr train --dataset digits --model lenet5 --he'],
        ),
        ("profile-ranges --model resnet18", ["data/imagenet/train", f"{URL}resnet18-f37072fd.pth"]),
        ("cam --model resnet18 --dataset imagenet", ["data/imagenet/val", f"{URL}resnet18-f37072fd.pth"]),
        ("cam here --dataset cifar10", ["data/cifar-10-batches-py", 'there is no run "here" in runs/cifar10']),
        ("compare a b --dataset digits", ['(1) there is no run "a"', '(2) there is no run "b"']),
        ("report a b --dataset digits", ['(1) there is no run "a"', '(2) there is no run "b"']),
        ("top2diff-sweep --dataset digits", ['no run in runs/digits has golden.parquet; run "tgr evaluate" first']),
        ("top2diff-sweep --run a --golden b.parquet", ['there is no run "a"', "b.parquet does not exist"]),
    ],
)
def test_other_commands_name_everything_too(command: str, parts: list[str]) -> None:
    message = refusal(command)
    for part in parts:
        assert part in message


def test_embed_names_descriptions_and_the_encoder_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(model: str, pretrained: str) -> None:
        raise TgrError(f"the weights {pretrained} of {model} are nowhere; use --encoder tfidf")

    monkeypatch.setattr("tgr_cli.text.clip_weights.demand_a_source", nowhere)
    message = refusal("embed --dataset cifar10")
    assert '(1) runs/cifar10/descriptions.parquet does not exist; run "tgr describe --dataset cifar10" first' in message
    assert "(2) the weights openai of ViT-B-32-quickgelu are nowhere; use --encoder tfidf" in message
    assert refusal("embed --dataset cifar10 --encoder tfidf").startswith("runs/cifar10/descriptions.parquet does not")
    assert refusal("embed --dataset cifar10 --from-file no.npy").startswith("--from-file no.npy does not exist; name a")


def test_a_run_of_another_folder_is_pointed_to() -> None:
    Path("work/digits/net").mkdir(parents=True)
    message = refusal("report net --dataset cifar10 --workdir work")
    assert message.startswith('there is no run "net" in work/cifar10; it holds none; run "tgr train" or "tgr evaluate"')
    assert message.endswith("or choose one of digits in work with --dataset or --name")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("inject --model vgg16bn", 'there is no model "vgg16bn"; .* Did you mean "vgg16_bn"?'),
        ("train --model lenet5 --head basline", '--head is "basline"; .* Did you mean "baseline"?'),
        ("train --model lenet5 --recipe cfar", '--recipe is "cfar"; .* Did you mean "cifar"?'),
        ("evaluate --model resnet18 --dataset cifr10", 'there is no data set "cifr10"; .* Did you mean "cifar10"?'),
    ],
)
def test_a_mistyped_name_comes_first(command: str, words: str) -> None:
    assert re.search(words.replace("?", r"\?"), refusal(command))


def test_measured_runs_lack_what_their_commands_make() -> None:
    for run in ("a", "b"):
        Path("work/digits", run).mkdir(parents=True)
    Path("work/digits/a/golden.parquet").touch()
    message = refusal("compare a b --dataset digits --workdir work")
    assert message.startswith("Five things are missing: (1) work/digits/a/injections.parquet does not exist; run ")
    assert '(3) work/digits/b/golden.parquet does not exist; run "tgr evaluate" first' in message


def test_weights_alone_are_missing_only_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    write_toy_dataset(Path("toy"))
    heard: list[str] = []

    class Ear(needs.Reporter):
        def note(self, text: str) -> None:
            heard.append(text)

    source, data = needs.ModelSource(model="timm:resnet18"), needs.DataSource(dataset="parquet:toy")
    with pytest.raises(TgrError, match=r"timm's weights a1_in1k of timm:resnet18 are not on this machine: they come"):
        needs.model(source, data, Path("runs"), needs.images(data, "eval"))
    monkeypatch.setattr(needs, "reachable", lambda address: True)
    needs.model(source, data, Path("runs"), needs.images(data, "eval"), reporter=Ear())
    assert heard == [
        "fetching timm's weights a1_in1k of timm:resnet18 from https://huggingface.co/timm/resnet18.a1_in1k"
    ]
