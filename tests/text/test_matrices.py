"""Reading stored matrices, and the errors for unsuitable ones."""

import contextlib
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from tgr_cli.errors import TgrError
from tgr_cli.text.matrices import class_rows, read_matrix

MATRIX = np.arange(1, 13, dtype=np.float32).reshape(4, 3)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("unpickled",)


def test_numpy_and_torch_files_hold_the_same_matrix(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", MATRIX)
    torch.save(torch.tensor(MATRIX, requires_grad=True), tmp_path / "m.pth")
    torch.save({"embeddings": torch.from_numpy(MATRIX).bfloat16(), "scale": torch.tensor(4.6)}, tmp_path / "d.pt")
    for name in ("m.npy", "m.pth", "d.pt"):
        np.testing.assert_array_equal(read_matrix(tmp_path / name), MATRIX)


def test_rows_pick_and_order() -> None:
    found = class_rows(Path("m.npy"), MATRIX.astype(float), 2, [2, 0])
    np.testing.assert_allclose(found, (MATRIX / np.linalg.norm(MATRIX, axis=1, keepdims=True))[[2, 0]], rtol=1e-6)


def _write(path: Path, value: object) -> None:
    if isinstance(value, bytes):
        path.write_bytes(value)
    elif path.suffix == ".npy":
        np.save(path, value, allow_pickle=True)
    else:
        torch.save(value, path)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("m.csv", b"1,2", "is none of .npy, .pth, .pt"),
        ("m.npy", b"\x93NUMPY", "no whole .npy file of numbers"),
        ("m.npy", np.array([Evil()]), "no whole .npy file of numbers"),
        ("m.npy", np.zeros(3), "float64 of shape 3, where numbers of shape classes×E are expected"),
        ("m.npy", np.zeros((2, 2), dtype=complex), "holds complex128 of shape 2×2"),
        ("m.pth", b"PK\x03\x04 cut short", "no whole file of tensors alone"),
        ("m.pth", Evil(), "no whole file of tensors alone"),
        (
            "m.pth",
            {"a": torch.ones(2, 2), "b": torch.ones(2, 2)},
            "one two-dimensional tensor is expected; found: a, b",
        ),
        ("m.pth", {"a": torch.ones(2)}, "found: none"),
        ("m.pth", [1, 2], "holds a list, where a tensor is expected"),
    ],
)
def test_other_files_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, value: object, words: str
) -> None:
    _write(tmp_path / name, value)
    with pytest.raises(TgrError, match=re.escape(words)):
        read_matrix(tmp_path / name)
    assert "unpickled" not in capsys.readouterr().out


def test_archives_and_absent_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", a=MATRIX)
    (tmp_path / "m.npz").rename(tmp_path / "m.npy")
    with pytest.raises(TgrError, match="an archive of arrays"):
        read_matrix(tmp_path / "m.npy")
    with pytest.raises(TgrError, match="does not exist"):
        read_matrix(tmp_path / "none.npy")


def test_wrong_counts_and_rows_without_direction_are_refused() -> None:
    with pytest.raises(TgrError, match=r"m\.npy has 4 rows for 10 classes; pick rows by class with --row-names"):
        class_rows(Path("m.npy"), MATRIX, 10)
    for bad in (0.0, np.nan, np.inf):
        matrix = MATRIX.copy()
        matrix[2] = bad
        with pytest.raises(TgrError, match="the row of class 2 is zero or not finite"):
            class_rows(Path("m.npy"), matrix, 4)


def _header(shape: str) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


FOREIGN: dict[str, object] = {
    "zip.npy": b"PK\x03\x04junk",
    "brackets.npy": _header("("),
    "enormous.npy": _header("(9999999999999999999999, 4)"),
    "more-than-it-holds.npy": _header("(100000000000, 4)"),
    "negative.npy": _header("(-1, 4)"),
    "objects.npy": np.array([[1, None]], object),
    "words.npy": np.array([["a", "b"]]),
    "truths.npy": np.ones((2, 2), bool),
    "sparse.pth": torch.eye(4).to_sparse(),
    "rows.pth": torch.eye(4).to_sparse_coo().coalesce(),
    "meta.pth": torch.ones(4, 3, device="meta"),
    "complex.pth": torch.ones(4, 3, dtype=torch.complex64),
    "truths.pth": torch.ones(4, 3, dtype=torch.bool),
    "expanded.pth": torch.ones(1, 1).expand(2**40, 2**10),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_matrices_are_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    _write(tmp_path / name, FOREIGN[name])
    with pytest.raises(TgrError, match=re.escape(str(tmp_path / name))) as caught:
        read_matrix(tmp_path / name)
    assert "\n" not in str(caught.value)
    found = {"sparse": "a sparse tensor;", "meta": "the device meta", "complex": "complex numbers"}
    assert found.get(Path(name).stem, "") in str(caught.value)
    assert "whose rows share their numbers" in str(caught.value) or name != "expanded.pth"


@pytest.mark.parametrize("kind", ["npy", "zip", "legacy", "npz"])
def test_flipped_bytes_are_read_or_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("m.npy" if kind.startswith("np") else "m.pth")
    if kind == "npz":
        with path.open("wb") as file:
            np.savez(file, a=MATRIX)
    elif kind == "npy":
        np.save(path, MATRIX)
    else:
        torch.save(torch.from_numpy(MATRIX), path, _use_new_zipfile_serialization=kind == "zip")
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged[: rng.integers(1, len(whole))] if rng.random() < 0.2 else damaged)
        with contextlib.suppress(TgrError):
            assert read_matrix(path).ndim == 2
