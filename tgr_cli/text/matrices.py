"""Stored matrices of class embeddings, one row per class: `.npy` or a tensor saved by torch."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tgr_cli.errors import TgrError
from tgr_cli.text.initialise import unit_rows

FORMATS = (".npy", ".pth", ".pt")


def read_matrix(path: Path) -> np.ndarray:
    """Return the matrix in a file, float64 [rows, E], without unpickling.

    A torch file contains the tensor, or a dict with exactly one two-dimensional tensor. Raises TgrError for any other
    file.
    """
    if not path.is_file():
        raise TgrError(f"{path} does not exist; name a .npy or .pth file with --from-file")
    if path.suffix not in FORMATS:
        raise TgrError(f"{path} is none of {', '.join(FORMATS)}; save the matrix with numpy.save or torch.save")
    matrix = _from_numpy(path) if path.suffix == ".npy" else _from_torch(path)
    if matrix.ndim != 2 or 0 in matrix.shape or matrix.dtype.kind not in "fiu":
        shape = "×".join(map(str, matrix.shape)) or "none"
        raise TgrError(f"{path} holds {matrix.dtype} of shape {shape}, where numbers of shape classes×E are expected")
    return matrix.astype(np.float64)


def _from_numpy(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        if file.read(2) == b"PK":  # numpy does not close a damaged archive
            raise TgrError(f"{path} is an archive of arrays; save the one matrix with numpy.save")
    try:
        # Memory-mapped, so that a header with a false size allocates nothing.
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # numpy evaluates a damaged file's header as Python and may raise anything
        raise TgrError(f"{path} is no whole .npy file of numbers; save it with numpy.save") from error


def _from_torch(path: Path) -> np.ndarray:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of formats that are refused below with a clearer message
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch does not validate files: a damaged one may raise anything
        raise TgrError(f"{path} is no whole file of tensors alone; save the matrix with torch.save(tensor)") from error
    if isinstance(stored, dict):
        matrices = {key: value for key, value in stored.items() if isinstance(value, torch.Tensor) and value.ndim == 2}
        if len(matrices) != 1:
            found = ", ".join(map(str, matrices)) or "none"
            raise TgrError(f"{path} is a dict, where one two-dimensional tensor is expected; found: {found}")
        stored = next(iter(matrices.values()))
    if not isinstance(stored, torch.Tensor):
        raise TgrError(f"{path} holds a {type(stored).__name__}, where a tensor is expected; save it with torch.save")
    stored = stored.detach()
    kinds = {  # in this order: sparse and meta tensors have no storage to measure
        "a tensor on the device meta, which has no values; save it where it has them": stored.is_meta,
        "a sparse tensor; save torch.save(tensor.to_dense())": stored.layout is not torch.strided,
        "a quantised tensor; save torch.save(tensor.dequantize())": stored.is_quantized,
        "complex numbers; save real ones": stored.is_complex(),
    }
    for kind, holds in kinds.items():
        if holds:
            raise TgrError(f"{path} holds {kind}, as one row of real numbers a class")
    if stored.numel() > stored.untyped_storage().nbytes():
        raise TgrError(
            f"{path} holds an expanded tensor, whose rows share their numbers; save torch.save(tensor.clone()), as one "
            "row of real numbers a class"
        )
    return (stored.double() if stored.is_floating_point() else stored).numpy()


def class_rows(path: Path, matrix_NE: np.ndarray, classes: int, picked: Sequence[int] | None = None) -> np.ndarray:
    """Return the matrix's rows for `classes` classes, unit-norm, float32 [classes, E].

    `picked` has the row number of each class; None takes all rows in order. Raises TgrError where the number of rows is
    not that of the classes, or a row is zero or not finite.
    """
    if picked is not None:
        matrix_NE = matrix_NE[list(picked)]
    elif len(matrix_NE) != classes:
        raise TgrError(
            f"{path} has {len(matrix_NE)} rows for {classes} classes; pick rows by class with --row-names (imagenet, "
            "or a file with every row's name), or by number with --rows FILE"
        )
    bad = np.flatnonzero(~np.isfinite(matrix_NE).all(axis=1) | ~matrix_NE.any(axis=1))
    if len(bad):
        raise TgrError(
            f"{path}: the row of class {bad[0]} is zero or not finite; give every class a finite, nonzero row"
        )
    return unit_rows(matrix_NE)
