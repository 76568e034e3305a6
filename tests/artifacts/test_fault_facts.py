from typing import Any

import pytest

from tgr_cli.artifacts.fault_facts import (
    UNKNOWN_FORMAT,
    fault_model_of,
    faults_in_words,
    formats_in_words,
    struck_format_of,
)
from tgr_cli.artifacts.provenance import Provenance


def made(config: dict[str, Any], extra: dict[str, Any]) -> Provenance:
    return Provenance(kind="injections", version=4, config=config, extra=extra)


@pytest.mark.parametrize(
    ("extra", "words", "struck"),
    [
        ({}, UNKNOWN_FORMAT, ""),  # of earlier versions
        ({"format": "bfloat16"}, "bfloat16", "bfloat16"),
        ({"format": "float32", "struck_format": {"name": "float32"}}, "float32", "float32"),
        ({"format": "float32", "struck_format": {"name": "int8"}}, "float32, struck in int8", "int8"),
        (
            {"format": "float32", "weight_format": "int8", "struck_format": {"name": "int8"}},
            "float32, weights in int8",
            "int8",
        ),
        (
            {"format": "int8", "weight_format": "int8:channel", "struck_format": {"name": "int8"}},
            "int8, weights in int8:channel",
            "int8",
        ),
        ({"format": "int8", "struck_format": {"name": "float32"}}, "int8, struck in float32", "float32"),
    ],
)
def test_formats_are_told_with_the_struck_one_where_it_is_another(extra: dict, words: str, struck: str) -> None:
    assert (formats_in_words(made({}, extra)), struck_format_of(made({}, extra))) == (words, struck)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "flip"),
        ({"fault_model": "stuck:at=1", "pattern": "element", "lasting": False}, "stuck:at=1"),
        ({"fault_model": "random", "pattern": "row", "lasting": True}, "random, pattern row, lasting"),
        ({"fault_model": "flip", "target": "weight", "lasting": True}, "flip"),
        ({"target": "weight"}, "flip"),
    ],
)
def test_faults_are_told_with_their_pattern_and_how_long_they_last(config: dict, words: str) -> None:
    assert faults_in_words(made(config, {})) == words
    assert fault_model_of(made(config, {})) == words.split(",")[0]
