"""Small transformers with windowed or global attention, whose head reads one token or the mean of all."""

import torch
from torch import nn
from torchvision.models.maxvit import MaxVit
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2


def swin(version: int) -> nn.Module:
    """Return a Swin transformer with 2 × 2 windows of 4 × 4 tokens, shifted in the first version's second block.

    The second version merges tokens in their place: capturing a block takes seconds.
    """
    newer = {"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2} if version == 2 else {}
    depths, heads = ([1, 1], [1, 2]) if version == 2 else ([2], [1])
    return SwinTransformer([4, 4], 8, depths, heads, [4, 4], num_classes=5, **newer)


def vit() -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer  # here, as timm takes a second to import

    return VisionTransformer(img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=5)


WINDOWED = {
    "swin": lambda: swin(1),
    "swin_v2": lambda: swin(2),
    "maxvit": lambda: MaxVit((64, 64), 4, 4, [16], [1], 16, 0.0, num_classes=5),
    "vit": vit,
}


def windowed(name: str, seed: int = 0) -> nn.Module:
    """Return a network in evaluation mode; its weights depend on `seed` only."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return WINDOWED[name]().eval()
