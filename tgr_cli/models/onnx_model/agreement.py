"""Compares a converted network with ONNX Runtime, on random images.

Suffixes: B batch, C classes or channels, H W height and width.
"""

import numpy as np
import torch
from torch import Tensor

from tgr_cli.errors import TgrError
from tgr_cli.models.onnx_model.file import OnnxFile
from tgr_cli.models.onnx_model.network import OnnxNetwork

# Largest difference, in multiples of the largest logit: float32 rounds each of some hundred sums on the way by 6e-8,
# and ONNX Runtime computes float16 in float32, in which it rounds at other places.
TOLERANCE = {"float32": 1e-5, "float16": 1e-2}
IMAGES = 3
SIDE = 224  # of the images, where the file leaves it open


def refuse_differing(file: OnnxFile, network: OnnxNetwork) -> float:
    """Return how far the logits are from ONNX Runtime's, in multiples of the largest logit, if that is close enough.

    Images come one at a time, and in batches of 2 and more: those of a file with a fixed batch size, which ONNX Runtime
    runs at this size alone. Raises TgrError where ONNX Runtime cannot run the file, where the difference is above
    TOLERANCE, or where the network depends on the size of its batch.
    """
    images_BCHW = _images(file)
    expected = _expected(file, images_BCHW)
    largest = max(float(expected.abs().max()), torch.finfo(expected.dtype).tiny)
    off = 0.0
    own = file.batch or 1
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
                f"{file.path} cannot be run in torch ({type(error).__name__}: {why}); export it with other operators"
            ) from error
        if found.shape != expected[:size].shape or not (apart := _apart(found, expected[:size]) / largest) < np.inf:
            raise _of_one_batch_size(file, own) if size != own else _otherwise(file, found, expected[:size])
        if apart > TOLERANCE[file.dtype]:
            if size != own and off <= TOLERANCE[file.dtype]:
                raise _of_one_batch_size(file, own)
            raise TgrError(
                f"{file.path} gives other logits in torch than in ONNX Runtime: they differ by {apart:.1e} of the "
                f"largest, where {TOLERANCE[file.dtype]:.0e} is allowed; export it with another opset, or give the "
                "PyTorch model with --model module:function"
            )
        off = max(off, apart)
    return off


def _images(file: OnnxFile) -> Tensor:
    """Return random images, as many as the file's batch or more."""
    side = file.side or SIDE
    random = np.random.default_rng(0).standard_normal((max(IMAGES, file.batch or 0), file.channels, side, side))
    return torch.tensor(random.astype(file.dtype))


def _expected(file: OnnxFile, images_BCHW: Tensor) -> Tensor:
    """Return ONNX Runtime's output, image by image or in the file's batches."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1  # errors are raised, too
    given = images_BCHW.permute(0, 2, 3, 1) if file.channels_last else images_BCHW
    size = file.batch or 1
    found = []
    try:
        session = onnxruntime.InferenceSession(str(file.path), options, providers=["CPUExecutionProvider"])
        for start in range(0, len(given), size):
            rows = [(start + row) % len(given) for row in range(size)]
            (output,) = session.run([file.output], {file.input: given[rows].contiguous().numpy()})
            found.append(torch.tensor(output))
    except Exception as error:  # ONNX Runtime raises classes of its own for each of its states
        raise TgrError(
            f"ONNX Runtime {onnxruntime.__version__} cannot run {file.path} ({_first_line(error)}); export it again"
        ) from error
    if any(output.ndim == 0 or len(output) != size for output in found):
        raise TgrError(
            f"{file.path} answers {size} image(s) with {tuple(found[0].shape)}, where a row of logits for each is "
            "expected"
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


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).strip().splitlines() if line), type(error).__name__)[:200]
