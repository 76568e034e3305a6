import json
from dataclasses import replace
from pathlib import Path

import pytest

from tgr_cli.errors import TgrError
from tgr_cli.models.card import ModelCard
from tgr_cli.models.zoo import DIGITS

CARD = ModelCard(
    model="digits_cnn",
    head="text",
    init="descriptions",
    num_classes=3,
    embedding_dim=32,
    classes=("dot", "bär", "ring"),
    preprocessing=DIGITS,
    seed=1,
    fingerprint="ab" * 32,
    params=1234,
)


def test_a_card_comes_back_as_written(tmp_path: Path) -> None:
    path = CARD.write(tmp_path / "run" / "model.json")
    assert ModelCard.read(path) == CARD
    assert json.loads(path.read_text(encoding="utf-8"))["classes"] == ["dot", "bär", "ring"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"head": None}, 'has "head" as NoneType'),
        ({"num_classes": True}, 'has "num_classes" as bool'),
        ({"num_classes": 4}, "does not name its 4 classes"),
        ({"classes": ["dot", 2, "ring"]}, "does not name its 3 classes"),
        ({"preprocessing": {"crop": 8}}, "are expected; write it again"),
    ],
)
def test_a_field_of_another_kind_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = CARD.write(tmp_path / "model.json")
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change))
    with pytest.raises(TgrError) as caught:
        ModelCard.read(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_variant_is_kept_and_older_cards_have_none(tmp_path: Path) -> None:
    path = replace(CARD, variant="dropout").write(tmp_path / "model.json")
    assert ModelCard.read(path).variant == "dropout"
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(values | {"variant": 3}))
    with pytest.raises(TgrError, match='has "variant" as int'):
        ModelCard.read(path)
    del values["variant"]
    path.write_text(json.dumps(values))
    assert ModelCard.read(path) == CARD


@pytest.mark.parametrize("text", ["", "{", "\ud800", "[1, 2]", "{}"])
def test_what_is_no_card_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(TgrError, match=r'(is not readable JSON|lacks "model"); write it again with "tgr train"'):
        ModelCard.read(path)


def test_a_missing_card_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(TgrError, match=r'model.json does not exist; run "tgr train" first'):
        ModelCard.read(tmp_path / "model.json")
