"""The metadata of artifacts contains no path."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tgr_cli.artifacts.provenance import Provenance, normalised, sha256_names
from tgr_cli.errors import TgrError


@dataclass(frozen=True)
class Inner:
    dataset: str
    root: Path


@dataclass(frozen=True)
class Outer:
    inner: Inner
    steps: tuple[int, ...]
    out: Path | None
    workers: int = 2


def test_a_normalised_config_keeps_values_and_drops_paths() -> None:
    config = Outer(Inner("parquet:/home/me/cifar10", Path("/data")), (1, 2), None)
    assert normalised(config) == {"inner": {"dataset": "parquet:cifar10"}, "steps": [1, 2]}
    assert normalised(replace(config, out=Path("x.parquet"))) == normalised(config)


def test_provenance_comes_back_from_its_text() -> None:
    provenance = Provenance(kind="ranges", version=1, config={"a": [1]}, seed=3, model="ab", inputs={"x": "cd"})
    assert Provenance.from_json(provenance.to_json()) == provenance


@pytest.mark.parametrize("name", ["kind", "config", "model", "extra"])
def test_metadata_of_other_types_is_refused(name: str) -> None:
    text = json.dumps(json.loads(Provenance(kind="ranges", version=1).to_json()) | {name: [1]})
    with pytest.raises(TgrError, match=name):
        Provenance.from_json(text)


def test_class_names_are_told_apart_by_order_and_by_border() -> None:
    digests = {sha256_names(names) for names in (["a", "b"], ["b", "a"], ["ab"], ["a,b"])}
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("facts", "told"),
    [({"extra": {"format": "bfloat16"}}, "bfloat16"), ({}, "float32")],
)
def test_the_number_format_is_that_recorded_and_float32_in_earlier_files(facts: dict[str, Any], told: str) -> None:
    assert Provenance(kind="golden", version=1, **facts).number_format == told
