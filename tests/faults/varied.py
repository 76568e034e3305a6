"""Small networks that together have all operations with propagation rules, and some without."""

import torch
from torch import Tensor, nn

from tgr_cli.models.classifier import TextGuidedClassifier


class Residual(nn.Module):
    """Strided, grouped and dilated convolutions, downsampling, batch norm, average pooling, merged branches."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.depthwise = nn.Conv2d(8, 8, (3, 5), padding=(1, 2), groups=8)
        self.doubled = nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=8)
        self.down = nn.Conv2d(8, 16, 1, stride=2)
        self.dilated = nn.Conv2d(16, 6, 3, padding=2, dilation=2)
        self.pointwise = nn.Conv2d(16, 4, 1)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.average = nn.AvgPool2d(2)
        self.last = nn.Conv2d(10, 12, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(12, affine=False)
        self.head = nn.Linear(12, 5)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = torch.relu(self.norm(self.stem(x_BCHW)))
        x_BCHW = x_BCHW + self.depthwise(nn.functional.relu6(self.grouped(x_BCHW)))
        x_BCHW = nn.functional.silu(self.doubled(x_BCHW) + self.down(x_BCHW))
        x_BCHW = torch.cat([self.pool(self.dilated(x_BCHW)), self.average(self.pointwise(x_BCHW))], dim=1)
        x_BCHW = nn.functional.hardswish(self.norm2(self.last(x_BCHW)))
        return self.head(nn.functional.adaptive_avg_pool2d(x_BCHW, 1).flatten(1))


class Gated(nn.Module):
    """A squeeze-and-excitation gate, GELU, and linear layers that mix tokens after a layer norm."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(2, 6, 2, stride=2)
        self.squeeze, self.excite = nn.Conv2d(6, 3, 1), nn.Conv2d(3, 6, 1)
        self.norm = nn.LayerNorm(6)
        self.tokens, self.channels = nn.Linear(64, 64), nn.Linear(6, 6)
        self.head = nn.Linear(6, 5)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = nn.functional.gelu(self.patches(x_BCHW))
        gate_BC11 = self.excite(torch.relu(self.squeeze(x_BCHW.mean(dim=(2, 3), keepdim=True))))
        x_BTC = (x_BCHW * torch.sigmoid(gate_BC11)).flatten(2).transpose(1, 2)
        x_BTC = x_BTC + self.tokens(self.norm(x_BTC).transpose(1, 2)).transpose(1, 2)
        x_BTC = x_BTC + nn.functional.gelu(self.channels(self.norm(x_BTC)))
        return self.head(x_BTC.mean(dim=1))


class Wide(nn.Module):
    """A map larger than 1×1 that is flattened, with two linear layers after it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 5, padding=2)
        self.hidden = nn.Linear(4 * 8 * 8, 10)
        self.head = nn.Linear(10, 5)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = nn.functional.max_pool2d(torch.relu(self.conv(x_BCHW)), 2)
        return self.head(torch.relu(self.hidden(x_BCHW.flatten(1))))


def text_guided() -> nn.Module:
    """Return a network whose logits are scaled cosines."""
    backbone = Wide()
    backbone.head = nn.Linear(10, 7)
    return TextGuidedClassifier(backbone, num_classes=5, embedding_dim=7)


VARIED = {"residual": Residual, "gated": Gated, "wide": Wide, "text_guided": text_guided}
SHAPE_CHW = (2, 16, 16)


def varied(name: str, seed: int = 0) -> nn.Module:
    """Return a network in evaluation mode; weights and batch norm statistics depend on `seed` only."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = VARIED[name]()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.3, 1.5)
        return model.eval()
