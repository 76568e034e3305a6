"""The sites of a model: what a fault can strike, and how much work each is."""

from dataclasses import dataclass

from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.faults import hooked
from tgr_cli.faults.sites import TARGETS, Site
from tgr_cli.models import zoo
from tgr_cli.reporting import SILENT, Reporter

IMAGES = 2  # one image does not show which part of a site's output is whose


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which model, with how many classes, on which crop (pixels; None: the model's own); `targets` comma-separated.

    `target` says what is struck: neurons of these operations, or tensors of one kind.
    """

    model: str
    num_classes: int = 1000
    crop: int | None = None
    target: str = "neuron"
    targets: str = "conv,linear"

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise TgrError(f"--num-classes is {self.num_classes}; give at least 1")
        if self.target not in TARGETS:
            known = ", ".join(TARGETS)
            raise TgrError(f'--target is "{self.target}"; use one of {known}.{did_you_mean(self.target, TARGETS)}')


@dataclass(frozen=True)
class Result:
    """The sites in execution order, and the shape (C, H, W) of the image they are seen with."""

    sites: tuple[Site, ...]
    input_shape: tuple[int, int, int]


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Return the model's sites; it has random weights, on which its sites do not depend."""
    model = zoo.build(config.model, config.num_classes).eval()
    channels, height, width = zoo.default_preprocessing(config.model).input_shape
    shape = (channels, config.crop or height, config.crop or width)
    targets = tuple(part.strip() for part in config.targets.split(","))
    network = hooked.capture(model, shape, batch_size=IMAGES, targets=targets, reporter=reporter)
    return Result(network.sites_of(config.target), shape)
