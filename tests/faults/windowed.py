"""Small transformers with windowed or global attention, whose head reads one token or the mean of all."""

import torch
from torch import nn
from torchvision.models.maxvit import MaxVit
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2
from torchvision.models.vision_transformer import VisionTransformer


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


def tokens_first() -> nn.Module:
    """Return a transformer whose attention puts tokens before images, as nn.MultiheadAttention does."""
    model = VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5)
    nn.init.normal_(model.heads.head.weight)  # zero in torchvision
    return model


class Apart(nn.Module):
    """Tokens with a layer each for queries, keys and values, which are mixed step by step; the mean is read."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.norm, self.head = nn.Conv2d(3, 16, 8, 8), nn.LayerNorm(16), nn.Linear(16, 5)
        self.query, self.key, self.value, self.out = (nn.Linear(16, 16) for _ in range(4))
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        x_BTC = self.patch(x_BCHW).flatten(2).transpose(1, 2)
        for _ in range(2):
            y_BTC = self.norm(x_BTC)
            q_BHTD, k_BHTD, v_BHTD = (
                layer(y_BTC).unflatten(2, (2, 8)).transpose(1, 2) for layer in (self.query, self.key, self.value)
            )
            a_BHTT = (q_BHTD @ k_BHTD.transpose(2, 3) / 8**0.5).softmax(dim=-1)
            x_BTC = x_BTC + self.out((a_BHTT @ v_BHTD).transpose(1, 2).flatten(2))
            x_BTC = x_BTC + self.mlp(x_BTC)
        return self.head(x_BTC.mean(dim=1))


WINDOWED = {
    "swin": lambda: swin(1),
    "swin_v2": lambda: swin(2),
    "maxvit": lambda: MaxVit((64, 64), 4, 4, [16], [1], 16, 0.0, num_classes=5),
    "vit": vit,
    "tokens_first": tokens_first,
    "apart": Apart,
}


def windowed(name: str, seed: int = 0) -> nn.Module:
    """Return a network in evaluation mode; its weights depend on `seed` only."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return WINDOWED[name]().eval()
