"""Data-parallel processes started by torchrun; without it everything here is a no-op."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tgr_cli.errors import TgrError

ADDRESS = "MASTER_ADDR"


def processes() -> int:
    """Return the number of processes started by torchrun; 1 without it."""
    return _number("WORLD_SIZE", least=1, default=1)


def first() -> bool:
    """Return whether this process writes files and messages: rank 0, or the only process."""
    return processes() == 1 or _rank() == 0


def restarts() -> int:
    """Return how often torchrun has restarted these processes after one of them ended."""
    return _number("TORCHELASTIC_RESTART_COUNT", default=0)


def restartable() -> bool:
    """Return whether torchrun started this process, and so may restart it."""
    return "TORCHELASTIC_RESTART_COUNT" in os.environ


def _rank() -> int:
    return _number("RANK", most=processes() - 1)


def _number(name: str, *, least: int = 0, most: int = 2**31 - 1, default: int | None = None) -> int:
    """Return an integer from torchrun's environment; without a default, raises TgrError where it is missing.

    Other launchers set some of these variables only, or with other meanings.
    """
    value = os.environ.get(name)
    if value is None and default is not None:
        return default
    if value is None or not re.fullmatch("[0-9]{1,10}", value) or not least <= int(value) <= most:
        found = "is not set" if value is None else f'is "{value}"'
        raise TgrError(
            f"{name} {found} in the environment, where a whole number of at least {least} is expected"
            f"{'' if most == 2**31 - 1 else f' and at most {most}'}; start several processes with torchrun, or unset "
            "WORLD_SIZE and RANK to train in one"
        )
    return int(value)


@dataclass(frozen=True)
class Group:
    """This process in the group: `rank` of `world`, computing on `device`."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0

    def total(self, sums: Tensor) -> Tensor:
        """Return the sum of `sums` over all processes (all-reduce); the input is not modified."""
        if self.world == 1:
            return sums
        total = sums.clone()
        dist.all_reduce(total)
        return total

    def gather(self, value: Any) -> list[Any]:
        """Return every process's `value`, in rank order."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def agree(self, value: Any) -> Any:
        """Return the first process's `value` in every process (broadcast)."""
        return self.gather(value)[0]

    def align(self, model: nn.Module) -> None:
        """Copy the first process's buffers (batch norm's statistics) to all processes."""
        if self.world > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return `model` wrapped so that its gradients are averaged over the processes (DistributedDataParallel)."""
        if self.world == 1:
            return model
        on_cuda = self.device.type == "cuda"
        return nn.parallel.DistributedDataParallel(model, device_ids=[self.device.index] if on_cuda else None)


@contextmanager
def group(device: torch.device) -> Iterator[Group]:
    """Context manager: join the processes that torchrun started, if any; `cuda` becomes the local rank's GPU.

    The backend is NCCL on CUDA, else gloo. Raises TgrError where the environment has no rendezvous address.
    """
    if processes() == 1:
        yield Group(0, 1, device)
        return
    _rank()
    _number("MASTER_PORT", least=1, most=2**16 - 1)
    if not os.environ.get(ADDRESS):
        raise TgrError(
            f"WORLD_SIZE is {processes()} and {ADDRESS} is not set in the environment; start several processes with "
            "torchrun, or unset WORLD_SIZE and RANK to train in one"
        )
    if device.type == "cuda":
        device = torch.device("cuda", _number("LOCAL_RANK"))
        torch.cuda.set_device(device)
    store, rank, world = next(dist.rendezvous("env://"))
    # torchrun keeps one store over restarts; without a prefix, processes would find the addresses of ended ones.
    store = dist.PrefixStore(f"start {restarts()}", store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world)
    try:
        yield Group(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
