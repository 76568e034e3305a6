"""A CLIP of one layer a tower with random weights, registered with open_clip and saved as a checkpoint on the spot."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

NAME = "tiny-clip"
CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@contextmanager
def tiny_clip(folder: Path, seed: int = 0) -> Iterator[Path]:
    """Give the checkpoint of a model that open_clip knows as `NAME` while the block runs."""
    import open_clip  # here, as it takes a second, and few tests need it
    from open_clip import factory

    config = folder / f"{NAME}.json"
    config.write_text(json.dumps(CONFIG), encoding="utf-8")
    open_clip.add_model_config(config)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            model = open_clip.create_model(NAME)
        checkpoint = folder / "tiny.pt"
        torch.save(model.state_dict(), checkpoint)
        yield checkpoint
    finally:
        factory._MODEL_CONFIG_PATHS.remove(config)
        factory._MODEL_CONFIGS.pop(NAME)
