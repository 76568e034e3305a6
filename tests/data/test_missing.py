"""Missing parts of a data set are found without opening it."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from toys import write_toy_dataset, write_toy_parquet

from tgr_cli.campaign import profiling
from tgr_cli.data.datasets import DataSource, open_split
from tgr_cli.data.missing import has_split, missing
from tgr_cli.errors import TgrError


def test_a_machine_without_anything_is_told_of_every_split(tmp_path: Path) -> None:
    evaluation, training = missing(DataSource(data_root=tmp_path), ("eval", "train"))
    assert (evaluation.split, evaluation.source, evaluation.state) == ("eval", "imagenet", "")
    assert evaluation.tried == (tmp_path / "imagenet" / "val",)
    assert training.tried == (tmp_path / "imagenet" / "train",)
    assert evaluation.expected == "a folder of images for each class: n01440764, …"
    options = [way.split()[0] for way in evaluation.ways]
    assert options == ["--data-root", "--eval-data", "--dataset"]
    (cifar,) = missing(DataSource(dataset="cifar10", data_root=tmp_path), ("eval",))
    assert [way.split()[0].rstrip(":") for way in cifar.ways] == [
        "--data-root",
        "--download",
        "--eval-data",
        "--dataset",
    ]
    (given,) = missing(DataSource(dataset="digits", eval_data=tmp_path / "x"), ("eval", "train"))
    assert (given.source, given.state) == (f"--eval-data {tmp_path / 'x'}", "does not exist")
    assert missing(DataSource(dataset="cifar10", data_root=tmp_path, download=True), ("eval", "train")) == ()


def test_it_agrees_with_opening(tmp_path: Path) -> None:
    for folder in ("flat/a", "both/Training/a", "both/Testing/a", "only/val/a", "root/imagenet/valid/n01440764"):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("L", (2, 2)).save(tmp_path / folder / "1.png")
    (tmp_path / "flat" / "b").mkdir()
    write_toy_dataset(tmp_path / "tables")
    write_toy_parquet(tmp_path / "alone.parquet")
    sources = {
        DataSource(dataset=f"imagefolder:{tmp_path / 'flat'}"): {"eval"},
        DataSource(dataset=f"imagefolder:{tmp_path / 'both'}"): {"eval", "train"},
        DataSource(dataset=f"imagefolder:{tmp_path / 'only'}"): {"eval"},
        DataSource(dataset=f"imagefolder:{tmp_path / 'nowhere'}"): set(),
        DataSource(dataset=f"parquet:{tmp_path / 'tables'}"): {"eval", "train"},
        DataSource(dataset=f"parquet:{tmp_path / 'alone.parquet'}"): {"eval"},
        DataSource(dataset=f"parquet:{tmp_path / 'nowhere'}"): set(),
        DataSource(data_root=tmp_path / "root"): {"eval"},
        DataSource(dataset="digits"): {"eval", "train"},
        DataSource(dataset="mnist", data_root=tmp_path): set(),
    }
    for source, there in sources.items():
        for split in ("eval", "train"):
            assert has_split(source, split) == (split in there), (source, split)
            if split in there:
                open_split(source, split)
            else:
                with pytest.raises(TgrError):
                    open_split(source, split)


def test_ranges_are_profiled_on_evaluation_images_where_there_is_no_other_split(tmp_path: Path) -> None:
    (tmp_path / "imagenet" / "val" / "n01443537").mkdir(parents=True)
    Image.new("L", (2, 2)).save(tmp_path / "imagenet" / "val" / "n01443537" / "1.png")
    images = profiling.split(DataSource(data_root=tmp_path))
    assert (images.split, images.used, images.labels.tolist()) == ("eval", "the val split of imagenet", [1])
    with pytest.raises(TgrError, match=r"imagenet was looked for at .*train and is not there; put a folder of images"):
        profiling.split(DataSource(data_root=tmp_path / "nowhere"))


def test_it_loads_no_torch() -> None:
    code = (
        "import sys; from tgr_cli.data.missing import missing; from tgr_cli.data.source import DataSource; "
        "assert len(missing(DataSource(), ('eval', 'train'))) == 2; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
