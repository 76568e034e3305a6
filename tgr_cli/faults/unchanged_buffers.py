"""Holds a model's buffers to their values while it runs."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from tgr_cli.faults.network import changing


@contextmanager
def unchanging(model: nn.Module) -> Iterator[None]:
    """Restore all buffers on exit, and raise TgrError if any was mutated."""
    kept = [
        (f"{path}.{leaf}".lstrip("."), module, leaf, buffer, buffer.clone())
        for path, module in model.named_modules()
        for leaf, buffer in module._buffers.items()
        if buffer is not None
    ]
    changed = []
    try:
        yield
    finally:
        for name, module, leaf, buffer, value in kept:
            if module._buffers[leaf] is not buffer or not _same(buffer, value):
                changed.append(name)
                module._buffers[leaf] = buffer.copy_(value)
    if changed:
        raise changing(changed[0])


def _same(left: Tensor, right: Tensor) -> bool:
    return bool(((left == right) | ((left != left) & (right != right))).all())  # NaN equals NaN here
