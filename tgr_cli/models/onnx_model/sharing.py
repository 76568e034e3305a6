"""Weights that several operators of a file read: one tensor in the file, and one in the network.

As torch's tied weights: the same Parameter in each of the modules, so that a fault in it strikes all its uses.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from tgr_cli.errors import TgrError

# Which input of an operator is which tensor of its torch module, the last part of the tensor's name.
NORMALISATION = {1: "weight", 2: "bias", 3: "running_mean", 4: "running_var"}
PLACES: Mapping[str, Mapping[int, str]] = {
    "Conv": {1: "weight", 2: "bias"},
    "ConvTranspose": {1: "weight", 2: "bias"},
    "Gemm": {1: "weight", 2: "bias"},
    "MatMul": {1: "weight", 2: "bias"},  # with the bias that is added to the product
    "BatchNormalization": NORMALISATION,
    "InstanceNormalization": NORMALISATION,
}
RECURRENT = ("GRU", "LSTM", "RNN")
RECURRENT_WEIGHTS = (1, 2, 3)


class SharedWeights:
    """The uses of each tensor of the file at `path` that has several `readers`."""

    def __init__(self, path: Path, readers: Mapping[str, int]) -> None:
        self._path, self._readers = path, readers
        self._uses: dict[str, list[tuple[nn.Module, str]]] = {}  # the modules and the names that they have for it

    def tie(self, kind: str, names: Sequence[str], module: nn.Module) -> None:
        """Give `module`, of an operator `kind` with the inputs `names`, the tensors that earlier ones have for these.

        Raises TgrError where this one needs the tensor in another form, such as transposed.
        """
        if kind in RECURRENT:  # their tensors are cut from the file's
            for name in (names[at] for at in RECURRENT_WEIGHTS if at < len(names)):
                if self._readers.get(name, 0) > 1:
                    raise self._in_two_forms(name)
        for at, called in PLACES.get(kind, {}).items():
            name = names[at] if at < len(names) else ""
            if self._readers.get(name, 0) > 1:
                for owner in module.modules():
                    if isinstance(getattr(owner, called, None), Tensor):
                        self.share(name, owner, called)

    def share(self, name: str, owner: nn.Module, called: str) -> None:
        """Make the tensor `called` of a module the one that `name` has elsewhere; raises TgrError if they differ.

        A tensor that is a parameter in one use and a buffer in another, such as a zero, is a parameter in all.
        """
        uses = self._uses.setdefault(name, [])
        uses.append((owner, called))
        tensors: list[Tensor] = [getattr(module, own) for module, own in uses]
        if not torch.equal(tensors[0], tensors[-1]):
            raise self._in_two_forms(name)
        kept = next((tensor for tensor in tensors if isinstance(tensor, nn.Parameter)), tensors[0])
        if any(not isinstance(tensor, nn.Parameter) for tensor in tensors):
            kept.requires_grad_(False)  # torch computes no gradient of a running mean or variance
        for module, own in uses:
            setattr(module, own, kept)

    def again(self) -> None:
        """Share the buffers after torch moved or converted each by itself, as it does not with parameters."""
        for (first, name), *others in self._uses.values():
            for owner, called in others:
                setattr(owner, called, getattr(first, name))

    def _in_two_forms(self, name: str) -> TgrError:
        return TgrError(
            f'{self._path}: several operators read the weight "{name}", and torch needs it in another form for each '
            "(transposed, scaled or cut), so that a fault in it would strike one of its uses; give the PyTorch model "
            "with --model module:function"
        )
