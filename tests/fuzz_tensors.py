"""Ways to damage files of tensors: safetensors, numpy's, and what torch saves, the states of trainings among them."""

import io
import pickletools
import struct
import zipfile
from hashlib import sha256
from random import Random
from typing import Any

import torch
from fuzz_damage import BYTES, VALUES, edited, flipped, json_edited, lines_edited

from tgr_cli.training import checkpoint


def header_edited(random: Random, content: bytes) -> bytes:
    """Change the header of a safetensors file, its length made right."""
    size = struct.unpack("<Q", content[:8])[0]
    header = json_edited(random, content[8 : 8 + size])
    return struct.pack("<Q", len(header)) + header + content[8 + size :]


def numpy_header_edited(random: Random, content: bytes) -> bytes:
    """Put other text in place of a part of a .npy file's header, its length unchanged."""
    size = struct.unpack("<H", content[8:10])[0]
    header = lines_edited(random, content[10 : 10 + size].rstrip())
    return content[:10] + header.ljust(size)[: size - 1] + b"\n" + content[10 + size :]


def member_edited(random: Random, content: bytes) -> bytes:
    """Damage one member of a zip file, as checkpoints of torch are, or remove it; the archive stays whole."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(written, "w") as new:
        names = old.namelist()
        chosen = random.choice([*names, *[name for name in names if name.endswith("data.pkl")] * 3])
        for name in names:
            inside = old.read(name)
            if name == chosen:
                if random.random() < 0.1:
                    continue
                inside = random.choice((*BYTES, opcodes_edited))(random, inside)
            new.writestr(name, inside)
    return written.getvalue()


def opcodes_edited(random: Random, content: bytes) -> bytes:
    """Remove, repeat or swap instructions of a pickle; of anything else, flip bits."""
    try:
        starts = [place for _, _, place in pickletools.genops(content) if place is not None]
    except Exception:  # pickletools raises whatever a damaged pickle makes it
        return flipped(random, content)
    pieces = [content[a:b] for a, b in zip(starts, [*starts[1:], starts[-1] + 1], strict=True)]
    rest, place = content[starts[-1] + 1 :], random.randrange(len(pieces))
    pieces[place : place + 1] = random.choice(([], [pieces[place]] * 2, [random.choice(pieces)]))
    return b"".join(pieces) + rest


def state_edited(random: Random, content: bytes) -> bytes:
    """Change a value in the state of a training, whose checksum is then made again."""
    written = io.BytesIO()
    torch.save(_edited(random, torch.load(io.BytesIO(content), weights_only=True)), written)
    state = written.getvalue()
    return state + checkpoint.MARK + sha256(state).hexdigest().encode()


def _edited(random: Random, value: Any) -> Any:
    """Return a value of a state with one place in it replaced, removed or, where it is a tensor, of another kind."""
    if isinstance(value, dict) and value and random.random() < 0.95:
        key = random.choice(list(value))
        if random.random() < 0.1:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: _edited(random, value[key])}
    if isinstance(value, list) and value and random.random() < 0.9:
        place = random.randrange(len(value))
        if random.random() < 0.2:
            return value[:place] + value[place + random.choice((1, 0)) :] + value[:place]
        return [*value[:place], _edited(random, value[place]), *value[place + 1 :]]
    if isinstance(value, torch.Tensor):
        others = (
            torch.full_like(value, random.choice((0, 1, -1, 255))) if value.numel() else value,
            value.double() * random.choice((0.5, float("nan"), float("inf"), 1e300)),
            value.reshape(-1)[:1],
            value[None],
            value.to(torch.int64),
            value.to("meta"),
            value.to_sparse() if value.ndim else value,
            torch.zeros(0),
            random.choice(VALUES),
        )
        return random.choice(others)
    return edited(random, value)
