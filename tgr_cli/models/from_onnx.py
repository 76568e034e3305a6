"""Networks from ONNX files."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import final

from torch import nn

from tgr_cli.data.transforms import Preprocessing
from tgr_cli.models.entry import IMAGENET
from tgr_cli.models.from_user import UserModel
from tgr_cli.models.names import ONNX, refuse_absent_file
from tgr_cli.paths import place

# onnx and what uses it are imported inside the functions: they come with the extra `onnx`.


@final
@dataclass(frozen=True)
class OnnxModel(UserModel):
    """The network of the ONNX file at `file`, with the file's weights."""

    path: str
    file: Path
    origin = "the file's own weights"

    def build(self, num_classes: int) -> nn.Module:
        """Return the network, whose logits are ONNX Runtime's; `num_classes` is the file's.

        Raises TgrError where the file is damaged or of another kind, cannot be converted, or computes something else
        in torch than in ONNX Runtime.
        """
        from tgr_cli.models.onnx_model import agreement, file, network

        read = file.read(self.file)
        built = network.OnnxNetwork(read)
        agreement.refuse_differing(read, built)
        return built

    def note(self, model: nn.Module) -> str:
        """Return that a network could not be compared with ONNX Runtime, "" where it was."""
        return str(getattr(model, "note", ""))

    def advice(self, classes: str) -> str:
        """Return the next step where the file has other classes than the data set."""
        return f"name the data set that it was made for{classes}"

    def preprocessing(self) -> Preprocessing:
        """Return ImageNet's preprocessing, at the size and with the channels that the file fixes."""
        state = self.file.stat()
        channels, side = _image_size(self.file, (state.st_mtime_ns, state.st_size))
        prepared = IMAGENET if side is None else replace(IMAGENET, resize=side, crop=side)
        return prepared if channels == 3 else replace(prepared, channels=1, mean=(0.0,), std=(1.0,))


def named(path: str) -> OnnxModel:
    """Return the model of an ONNX file; raises TgrError where it, or a package that reads it, does not exist."""
    refuse_absent_file(f"{ONNX}{path}")
    return OnnxModel(f"{ONNX}{path}", place(path))


@lru_cache(maxsize=8)
def _image_size(path: Path, changed: tuple[int, int]) -> tuple[int, int | None]:
    """Return the channels and the side of a file's images; `changed` is its time and size, lest it is read often."""
    from tgr_cli.models.onnx_model import file

    read = file.read(path)
    return read.channels, read.side
