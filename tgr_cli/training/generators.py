"""The generators that layers and mixing draw from while a network learns: torch's own, put back afterwards."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


def states(device: torch.device) -> list[Tensor]:
    """Return the states of the generators of the CPU and, where it is one, of the CUDA `device`."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


@contextmanager
def seeded(seed: int, kept: Sequence[Tensor] | None, device: torch.device) -> Iterator[None]:
    """Seed them, or set them to the states `kept`, while the block runs."""
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
