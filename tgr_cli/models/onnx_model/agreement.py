"""Compares a converted network with ONNX Runtime, on random images.

Suffixes: B batch, C classes or channels, H W height and width.
"""

import os

import numpy as np
import torch
from torch import Tensor

from tgr_cli.errors import TgrError, first_line
from tgr_cli.models.onnx_model.file import OnnxFile
from tgr_cli.models.onnx_model.network import OnnxNetwork

# Largest difference, in multiples of the largest logit: float32 rounds each of some hundred sums on the way by 6e-8,
# and ONNX Runtime computes float16 in float32, in which it rounds at other places. By the lowest precision in the file.
TOLERANCE = {"float32": 1e-5, "float16": 1e-2, "bfloat16": 8e-2}
# Largest difference in multiples of what the images change in the logits. One above it says nothing about the images.
OF_THE_SPREAD = {"float32": 0.01, "float16": 0.1, "bfloat16": 0.8}
IMAGES = 3
# Scales of the images, whose logits differ the more; half precision overflows at larger ones.
SCALES = {"float32": (1.0, 16.0, 4.0), "float16": (1.0, 4.0, 0.25), "bfloat16": (1.0, 4.0, 0.25)}
COARSE = 4  # sides of the patches of one random colour: white noise alone vanishes where a network averages
SIDE = 224  # of the images, where the file leaves it open
PROBABILITIES = 1e-3  # how far from 1 their sum may be


def refuse_differing(file: OnnxFile, network: OnnxNetwork) -> float:
    """Return how far the logits are from ONNX Runtime's, in multiples of the largest logit, if that is close enough.

    Images come one at a time, and in batches of 2 and more: those of a file with a fixed batch size, which ONNX Runtime
    runs at this size alone. Where the images change the logits so little that rounding hides it, nothing is known, and
    `network.note` says so. Raises TgrError where ONNX Runtime cannot run the file, where its output is no logits, where
    the difference is above TOLERANCE, or where the network depends on the size of its batch.
    """
    images_BCHW = _images(file)
    expected = _expected(file, images_BCHW)
    _refuse_probabilities(file, expected)
    largest = max(float(expected.abs().max()), torch.finfo(expected.dtype).tiny)
    off = 0.0
    own = file.batch or 1
    tolerance = TOLERANCE[file.precision]
    for size in dict.fromkeys((own, 1, 2, len(images_BCHW))):
        try:
            with torch.no_grad():
                found = network(images_BCHW[:size])
        except TgrError:
            raise
        except Exception as error:  # a shape that the operators do not take
            if size != own:
                raise _of_one_batch_size(file, own) from error
            why = " ".join(str(error).split())[:200]
            raise TgrError(
                f"{file.path} cannot be run in torch{_at_side(file)} ({type(error).__name__}: {why}); export it with "
                "other operators"
            ) from error
        if found.shape != expected[:size].shape or not (apart := _apart(found, expected[:size]) / largest) < np.inf:
            raise _of_one_batch_size(file, own) if size != own else _otherwise(file, found, expected[:size])
        if apart > tolerance:
            if size != own and off <= tolerance:
                raise _of_one_batch_size(file, own)
            raise TgrError(
                f"{file.path} gives other logits in torch than in ONNX Runtime: they differ by {apart:.1e} of the "
                f"largest, where {tolerance:.0e} is allowed; export it with another opset, or give the "
                "PyTorch model with --model module:function"
            )
        off = max(off, apart)
    spread = float((expected.amax(dim=0) - expected.amin(dim=0)).max()) / largest
    if not max(off, torch.finfo(expected.dtype).eps) <= OF_THE_SPREAD[file.precision] * spread:
        network.note = (
            f"{file.path} could not be compared with ONNX Runtime: random images change its logits by {spread:.1e} of "
            f"the largest, and rounding by {off:.1e}; are its weights trained?"
        )
    return off


def _images(file: OnnxFile) -> Tensor:
    """Return random images of several scales, as many as the file's batch or more."""
    side = file.side or SIDE
    count, random = max(IMAGES, file.batch or 0), np.random.default_rng(0)
    places = np.arange(side) * COARSE // side
    coarse = random.standard_normal((count, file.channels, COARSE, COARSE))[:, :, places][:, :, :, places]
    scales_B111 = np.resize(SCALES[file.precision], count)[:, None, None, None]
    images = scales_B111 * (coarse + random.standard_normal(coarse.shape))
    return torch.tensor(images.astype(file.dtype))


def _refuse_probabilities(file: OnnxFile, output_BC: Tensor) -> None:
    """Raise TgrError for rows that are not negative and sum to 1, or to the same for images that differ."""
    sums_B = output_BC.double().sum(dim=1)
    total = float(sums_B.mean())
    alike = bool(((sums_B - total).abs() <= PROBABILITIES * abs(total)).all())
    differing = float((output_BC[0] - output_BC[1]).abs().max()) > 10 * PROBABILITIES * abs(total)
    positive = output_BC.shape[1] > 1 and bool((output_BC >= 0).all())
    if positive and alike and (differing or abs(total - 1) <= PROBABILITIES):
        raise TgrError(
            f"{file.path} answers with probabilities (none is below 0, and they sum to {total:.4g} for each image), "
            "where logits are expected: dLoss and Top2Diff would be those of a second softmax; keep what goes into the "
            "softmax as the output"
        )


def _at_side(file: OnnxFile) -> str:
    """Return the size of the images in words, where the file leaves it open."""
    return "" if file.side else f" on images of {SIDE}×{SIDE}, a size that it leaves open"


def _expected(file: OnnxFile, images_BCHW: Tensor) -> Tensor:
    """Return ONNX Runtime's output, image by image or in the file's batches."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1  # errors are raised, too
    given = images_BCHW.permute(0, 2, 3, 1) if file.channels_last else images_BCHW
    size = file.batch or 1
    found = []
    try:
        session = onnxruntime.InferenceSession(os.fspath(file.path), options, providers=["CPUExecutionProvider"])
        for start in range(0, len(given), size):
            rows = [(start + row) % len(given) for row in range(size)]
            (output,) = session.run([file.output], {file.input: given[rows].contiguous().numpy()})
            found.append(torch.tensor(output))
    except Exception as error:  # ONNX Runtime raises classes of its own for each of its states
        raise TgrError(
            f"ONNX Runtime {onnxruntime.__version__} cannot run {file.path}{_at_side(file)} ({first_line(error)}); "
            + ("export it again" if file.side else "export it with the height and width of its images fixed")
        ) from error
    if any(output.ndim != 2 or len(output) != size for output in found):
        flat = found[0].ndim > 2 and len(found[0]) == size and max(found[0].shape[1:]) * size == found[0].numel()
        raise TgrError(
            f"{file.path} answers {size} image(s) with {tuple(found[0].shape)}, where a row of logits for each is "
            f"expected; export it {'with its logits flattened: flatten(1)' if flat else 'from images to such rows'}"
        )
    return torch.cat(found)[: len(given)]


def _apart(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference; NaN and infinite values are equal to themselves."""
    same = (found == expected) | (found.isnan() & expected.isnan())
    return float(torch.where(same, 0, (found.double() - expected.double()).abs()).nan_to_num(torch.inf).max())


def _otherwise(file: OnnxFile, found: Tensor, expected: Tensor) -> TgrError:
    return TgrError(
        f"{file.path} gives other logits in torch than in ONNX Runtime: {tuple(found.shape)}, partly NaN or infinite, "
        f"where {tuple(expected.shape)} of finite ones are expected; export it with another opset"
    )


def _of_one_batch_size(file: OnnxFile, own: int) -> TgrError:
    return TgrError(
        f"{file.path} was exported for batches of {own} alone, and images come in batches of any size; export it with "
        f'a dynamic batch axis (dynamic_shapes, or dynamic_axes={{"{file.input}": {{0: "images"}}}})'
    )
