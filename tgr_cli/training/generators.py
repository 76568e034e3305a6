"""Torch's global generators, which dropout and mixup draw from: seeded for a training and restored afterwards."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


def states(device: torch.device) -> list[Tensor]:
    """Return the states of the CPU generator and, if `device` is CUDA, of its generator."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


@contextmanager
def seeded(seed: int, kept: Sequence[Tensor] | None, device: torch.device) -> Iterator[None]:
    """Context manager: seed the generators, or set them to the states `kept`; restores them afterwards."""
    on_cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_cuda else []):
        torch.default_generator.manual_seed(seed)
        if on_cuda:
            torch.cuda.manual_seed(seed)
        if kept is not None:
            torch.set_rng_state(kept[0])
            if on_cuda:
                torch.cuda.set_rng_state(kept[1], device)
        yield
