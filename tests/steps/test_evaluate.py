"""`tgr evaluate`: figures and rows for fault-free images."""

import json
import math
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import save, save_file
from toys import ToyNet, toy_net, write_toy_dataset
from typer.testing import CliRunner, Result

from tgr_cli.app import app
from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import GOLDEN
from tgr_cli.data.datasets import DataSource, open_split
from tgr_cli.data.transforms import Preprocessing
from tgr_cli.errors import TgrError
from tgr_cli.models import weights
from tgr_cli.models.golden import GoldenRun, classify, figures, rows

TOY = ("--model", "toys:build_toy", "--resize", 8, "--crop", 8, "--mean", "0.5", "--std", "0.25")
PRE = Preprocessing(resize=None, crop=8, mean=(0.5,), std=(0.25,), channels=1)


def tgr(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, Exception) and not isinstance(result.exception, TgrError):
        raise result.exception
    return result


def test_rows_and_figures_of_known_logits() -> None:
    """Probabilities 1/2, 1/4, 1/8, 1/8 by hand; the second image's label ties with the maximum, at a higher index."""
    quarters_C = torch.tensor([8.0, 4.0, 2.0, 2.0]).log()
    golden = GoldenRun(torch.stack([quarters_C, torch.tensor([1.0, 1.0, 0.0, 0.0])]), torch.tensor([0, 1]))
    found = rows(golden, ["a", "b"])
    assert found["prediction"].tolist() == [0, 0]
    assert found["rank_of_label"].tolist() == [0, 1]
    assert found["top1"][0] == pytest.approx(1 / 2)
    assert found["top2"][0] == pytest.approx(1 / 4)
    assert found["top2diff"].tolist() == pytest.approx([1 / 4, 0])
    assert found["loss"][0] == pytest.approx(math.log(2))
    summary = figures(golden)
    assert (summary.images, summary.top1, summary.top5) == (2, 0.5, 1.0)
    assert summary.top2diff == pytest.approx(1 / 4)


def test_the_artifact_holds_what_a_plain_forward_pass_gives() -> None:
    write_toy_dataset(Path("toy"))
    model = toy_net(4)
    save_file(model.state_dict(), "m.safetensors")
    result = tgr(
        *("evaluate", "--dataset", "parquet:toy", *TOY, "--checkpoint", "m.safetensors"),
        *("--batch-size", 7, "--out", "g.parquet", "--json"),
    )
    golden = store.read(Path("g.parquet"), GOLDEN)
    images = open_split(DataSource(dataset="parquet:toy"), "eval")
    x_N1HW = torch.stack([torch.frombuffer(bytearray(images.image(n).tobytes()), dtype=torch.uint8) for n in range(30)])
    with torch.no_grad():
        logits_NC = model((x_N1HW.reshape(30, 1, 8, 8) / 255 - 0.5) / 0.25)
    assert golden.column("image_id").tolist() == list(images.ids)
    assert golden.column("prediction").tolist() == logits_NC.argmax(1).tolist()
    losses_N = torch.nn.functional.cross_entropy(logits_NC, torch.arange(30) % 3, reduction="none")
    assert golden.column("loss") == pytest.approx(losses_N.numpy(), abs=1e-5)
    assert golden.provenance.model == weights.fingerprint(model)
    printed = json.loads(result.stdout)
    assert printed["top1"] == golden.provenance.extra["top1"] == (golden.column("rank_of_label") == 0).mean()
    assert printed["images"] == 30


def test_logits_that_are_not_finite_name_the_image_and_the_mode_is_put_back() -> None:
    write_toy_dataset(Path("toy"))
    images = open_split(DataSource(dataset="parquet:toy"), "eval")

    class Breaks(ToyNet):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).index_fill(0, torch.tensor([2]), math.nan)

    model = Breaks().train()
    with pytest.raises(TgrError, match=r"logits for image toy/2.png are not finite; check its weights and the prepro"):
        classify(model, images, PRE, batch_size=8)
    assert model.training


@pytest.mark.shared
@pytest.mark.parametrize(
    ("model", "checkpoint", "dataset", "images", "top1", "top5"),
    [
        # On all 10,000 images 91.73 % (akamaster/pytorch_resnet_cifar10); this sample's value is measured, torch 2.15.
        ("resnet20", "cifar10_resnet20.pth", "cifar10", 500, 0.904, 0.998),
        # On all 1,000 images 61.0 % and 83.0 % (README of the shared data).
        ("squeezenet1_1", "squeezenet1_1_imagenet.pth", "imagenet_sample/images.parquet", 50, 0.64, 0.86),
    ],
)
def test_real_weights_classify_real_images(
    shared_data: Path, model: str, checkpoint: str, dataset: str, images: int, top1: float, top5: float
) -> None:
    result = tgr(
        *("evaluate", "--model", model, "--checkpoint", shared_data / "weights" / checkpoint),
        *("--dataset", f"parquet:{shared_data / dataset}", "--images", images, "--json"),
    )
    found = json.loads(result.stdout)
    assert found["images"] == images
    assert found["top1"] == pytest.approx(top1, abs=0.003)
    assert found["top5"] == pytest.approx(top5, abs=0.003)


def test_an_empty_data_set_is_refused() -> None:
    table = pa.table({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())})
    pq.write_table(table.replace_schema_metadata({"classes": "a\nb"}), "none.parquet")
    result = tgr("evaluate", "--dataset", "parquet:none.parquet", *TOY, "--weights", "none")
    assert result.exit_code == 1
    assert "holds no image" in str(result.exception)
    assert not Path("runs").exists()


def png(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8)).save(path, "PNG")


def test_folders_as_people_have_them_through_the_command() -> None:
    """Numeric folder names are labels, regardless of text order; split folders are no classes; both are reported."""
    for number in range(12):
        png(f"set/set/Testing/{number}/x.png")
        png(f"set/set/Training/{number}/x.png")
    Path("set/set/Testing/3/notes.heic").write_text("x")
    Path("m.safetensors").write_bytes(save(ToyNet(12).state_dict()))
    common = ("evaluate", *TOY, "--checkpoint", "m.safetensors", "--out", "g.parquet")
    result = tgr(*common, "--dataset", "imagefolder:set")
    assert result.exit_code == 0
    rows = store.read(Path("g.parquet"), GOLDEN).table.to_pydict()
    assert dict(zip(rows["image_id"], rows["label"], strict=True)) == {f"{n}/x.png": n for n in range(12)}
    for words in (
        "set/set: Testing, Training are taken as splits",
        "the class folders are numbers and taken as labels, from 0",
        "set/set/Testing: 1 of 13 files are left out: 1 .heic, which cannot be opened as pictures",
    ):
        assert words in result.stderr
    shutil.rmtree("set/set/Training")
    Path("names.txt").write_text("\n".join(f"class {number}" for number in range(12)))
    for number in (0, 1, 5):
        shutil.rmtree(f"set/set/Testing/{number}")
    result = tgr(*common, "--dataset", "imagefolder:set", "--class-names", "names.txt")
    rows = store.read(Path("g.parquet"), GOLDEN).table.to_pydict()
    assert rows["label"] == [2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert "has images of 9 of 12 classes: none of class 0, class 1, class 5" in result.stderr
