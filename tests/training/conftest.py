"""What tests of training share."""

from pathlib import Path

import pytest
from toys import write_toy_dataset

from tgr_cli.data.datasets import DataSource, ImageSet, open_split


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    return open_split(DataSource(dataset=f"parquet:{write_toy_dataset(tmp_path / 'toy')}"), "train")
