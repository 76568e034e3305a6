"""A checkpoint as a flat list of tensors, however deeply its training script nested them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tgr_cli.errors import TgrError
from tgr_cli.models import checkpoint_file

DEEPEST = 12  # levels of nested dicts and lists searched
MOST = 1_000_000  # limit on the tensors and other values visited

# Name parts that torch's wrappers add for compiled, parallel, sharded and averaged modules.
WRAPPERS = frozenset({"_orig_mod", "module", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})


@dataclass(frozen=True)
class NamedTensor:
    """A tensor of a checkpoint: its full name in the file and the dict that holds it, both as parts of a path."""

    parts: tuple[str, ...]
    tensor: Tensor
    holder: tuple[str, ...]

    @property
    def name(self) -> str:
        return ".".join(self.parts)

    @property
    def plain(self) -> tuple[str, ...]:
        """Return the name's parts without wrapper modules."""
        return tuple(part for part in self.parts if part not in WRAPPERS)


@dataclass(frozen=True)
class CheckpointTensors:
    """The tensors of a checkpoint file, and the module versions stored by torch, keyed by the dict that holds them."""

    path: Path
    entries: tuple[NamedTensor, ...]
    versions: Mapping[tuple[str, ...], Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "CheckpointTensors":
        """Return the tensors of a file; raises TgrError if it is missing, damaged, empty, or needs unpickling."""
        content = checkpoint_file.read(path)
        versions: dict[tuple[str, ...], Mapping[str, Any]] = {}
        entries = tuple(_walk(path, content, versions))
        if not entries:
            raise TgrError(f"the checkpoint {path} holds no tensors; a state dict (names and tensors) is expected")
        for kind in {type(entry.tensor) for entry in entries} - {Tensor, nn.Parameter}:
            raise checkpoint_file.no_plain_tensors(f"the checkpoint {path}", f"{kind.__module__}.{kind.__name__}")
        return cls(path, entries, versions)

    @property
    def what(self) -> str:
        """Return the checkpoint's description in messages."""
        return f"the checkpoint {self.path}"


def _walk(path: Path, content: Any, versions: dict[tuple[str, ...], Mapping[str, Any]]) -> Iterator[NamedTensor]:
    """Yield every named tensor, breadth first; each container is entered once, so cycles end."""
    level: list[tuple[tuple[str, ...], Any]] = [((), content)]
    seen, looked_at = {id(content)}, 0
    for _ in range(DEEPEST):
        below: list[tuple[tuple[str, ...], Any]] = []
        for parts, holder in level:
            if isinstance(metadata := getattr(holder, "_metadata", None), Mapping):
                versions[parts] = metadata
            for key, value in _items(holder):
                if (looked_at := looked_at + 1) > MOST:
                    raise TgrError(f"the checkpoint {path} holds over {MOST:,} values; save the state dict alone")
                own = (*parts, *key.split("."))
                if isinstance(value, Tensor):
                    yield NamedTensor(own, value, parts)
                elif isinstance(value, Mapping | list | tuple) and id(value) not in seen:
                    seen.add(id(value))
                    below.append((own, value))
        level = below


def _items(holder: Any) -> Iterator[tuple[str, Any]]:
    """Yield a dict's items with string keys, or a list's items by index."""
    if isinstance(holder, Mapping):
        yield from ((key, value) for key, value in holder.items() if isinstance(key, str))
    elif isinstance(holder, Sequence) and not isinstance(holder, str | bytes):
        yield from ((str(number), value) for number, value in enumerate(holder))
