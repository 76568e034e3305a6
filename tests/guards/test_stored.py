"""Guards in a model's card: read back as written, and refused where unknown or damaged."""

from typing import Any

import pytest

from tgr_cli.errors import TgrError
from tgr_cli.guards import stored
from tgr_cli.guards.bounds import Bounds
from tgr_cli.guards.checksum import Checksum
from tgr_cli.guards.duplication import Duplication
from tgr_cli.guards.encoding import Encoding
from tgr_cli.guards.voting import Voting
from tgr_cli.models.card import identity

GUARDS = (
    Duplication({"conv1": (0, 3)}, "zero"),
    Bounds({"relu#2": (0.0, 6.0)}, "clip"),
    Checksum(("conv1", "conv2#2"), "flag"),
    Encoding(("conv1.weight", "bn1.running_var"), "secded", "zero"),
    Voting(("fc",)),
)


def test_read_back() -> None:
    assert stored.from_json(stored.to_json(GUARDS)) == GUARDS
    assert stored.from_json([]) == ()


def test_summary() -> None:
    assert [guard.summary for guard in GUARDS] == [
        "duplication of 2 channels, zero",
        "bounds on 1 operations, clip",
        "checksums of 2 operations, flag",
        "secded of 2 stored tensors, zero",
        "three computations of fc, voted",
    ]
    assert {guard.technique for guard in GUARDS} == set(stored.TECHNIQUES)


def test_fingerprint_tells_protected_models_apart() -> None:
    both = stored.to_json(GUARDS)
    assert identity("abc", None) == identity("abc", []) == "abc"
    assert len({identity("abc", each) for each in (both, both[:1], both[1:])} | {"abc"}) == 4
    assert identity("abd", both) != identity("abc", both)


@pytest.mark.parametrize(
    "damaged",
    [
        {"technique": "duplication"},
        {"technique": "duplication", "channels": {"a": []}, "answer": "rerun"},
        {"technique": "duplication", "channels": {"a": [-1]}, "answer": "rerun"},
        {"technique": "duplication", "channels": {"a": [0]}, "answer": "other"},
        {"technique": "duplication", "channels": [], "answer": "rerun"},
        {"technique": "duplication", "channels": {}, "answer": "rerun"},
        {"technique": "duplication", "channels": {"a": [2.7]}, "answer": "rerun"},
        {"technique": "duplication", "channels": {"a": ["1"]}, "answer": "rerun"},
        {"technique": "duplication", "channels": {"a": [True]}, "answer": "rerun"},
        {"technique": "bounds", "ranges": {}, "outside": "clip"},
        {"technique": "bounds", "ranges": {"a": ["0", 1]}, "outside": "clip"},
        {"technique": "bounds", "ranges": {"a": [0, float("nan")]}, "outside": "clip"},
        {"technique": "bounds", "ranges": {"a": [1, 0]}, "outside": "clip"},
        {"technique": "bounds", "ranges": {"a": [0, float("inf")]}, "outside": "clip"},
        {"technique": "bounds", "ranges": {"a": [0]}, "outside": "clip"},
        {"technique": "bounds", "ranges": {"a": [0, 1]}, "outside": "wrap"},
        {"technique": "checksum", "operations": ["a"]},
        {"technique": "checksum", "operations": ["a"], "answer": "clip"},
        {"technique": "checksum", "operations": "ab", "answer": "flag"},
        {"technique": "encoding", "tensors": ["a"], "code": "crc", "answer": "zero"},
        {"technique": "encoding", "tensors": ["a", "a"], "code": "parity", "answer": "zero"},
        {"technique": "encoding", "tensors": ["a"], "code": "parity", "answer": "rerun"},
        {"technique": "voting", "operations": []},
        {"technique": "voting", "operations": [1]},
    ],
)
def test_damaged(damaged: dict[str, Any]) -> None:
    with pytest.raises(TgrError, match="is damaged; protect the model anew"):
        stored.from_json([damaged])


def test_an_encoding_of_operations_of_an_earlier_version() -> None:
    earlier = {"technique": "encoding", "operations": ["conv1"], "code": "parity", "answer": "zero"}
    with pytest.raises(
        TgrError, match=r'protected by parity of an earlier tgr, .*; protect the plain model anew with "t'
    ):
        stored.from_json([earlier])


def test_unknown() -> None:
    for unknown in ([{"technique": "spell"}], [{"technique": ["bounds"]}], [{}], ["duplication"]):
        with pytest.raises(TgrError, match=r"unknown \(known: duplication, bounds"):
            stored.from_json(unknown)  # type: ignore[arg-type]
