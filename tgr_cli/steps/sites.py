"""The fault sites of a model, and the cost of each in multiply-accumulates."""

from dataclasses import dataclass

import torch

from tgr_cli import defaults
from tgr_cli.artifacts import facts
from tgr_cli.data.preprocessing import PreprocessingOptions
from tgr_cli.errors import TgrError, one_of
from tgr_cli.faults import hooked
from tgr_cli.faults.formats import width as bits
from tgr_cli.faults.sampling.leveugle import sample_size
from tgr_cli.faults.sites import TARGETS, Site
from tgr_cli.faults.unseen_work import unseen_work
from tgr_cli.models import zoo
from tgr_cli.models.loading import override
from tgr_cli.models.trial import keep_input, refuse_no_tensor, refuse_scripted
from tgr_cli.models.weights import dtype
from tgr_cli.reporting import SILENT, Reporter

IMAGES = 2  # the batch axis is ambiguous at size 1


@dataclass(frozen=True, kw_only=True)
class Config:
    """The model, its number of classes, the crop (pixels; None: the model's own); `targets` is comma-separated.

    `mean` and `std`: of one value each for a function's model of one-channel images.

    `target` selects neurons (of these operations) or tensors of one kind. `margin` asks for the number of faults that
    estimate a site's failure rate to within ± `margin`.
    """

    model: str
    num_classes: int = defaults.NUM_CLASSES
    crop: int | None = None
    mean: str | None = None
    std: str | None = None
    target: str = defaults.TARGET
    targets: str = defaults.TARGETS
    margin: float | None = None
    confidence: float = defaults.CONFIDENCE

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise TgrError(f"--num-classes is {self.num_classes}; give at least 1")
        one_of("--target", self.target, TARGETS)
        if self.margin is not None and not 0 < self.margin < 1:
            raise TgrError(f"--margin is {self.margin}; use a share between 0 and 1, as 0.01")
        facts.refuse_confidence(self.confidence)


@dataclass(frozen=True)
class Result:
    """The sites in execution order, and the shape (C, H, W) of the image used to find them.

    `populations`: number of bits in each site's elements for one inference. `samples`: faults to draw from these for
    the margin, empty without one; `unbounded`: the same for an infinite population. `feature_maps`: number of each
    site's output channels, 0 where it is no convolution.
    """

    sites: tuple[Site, ...]
    input_shape: tuple[int, int, int]
    populations: tuple[int, ...] = ()
    samples: tuple[int, ...] = ()
    unbounded: int = 0
    feature_maps: tuple[int, ...] = ()


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Return the sites of a model with random weights; sites do not depend on the weights."""
    model = zoo.build(config.model, config.num_classes).eval()
    options = PreprocessingOptions(mean=config.mean, std=config.std)
    entry = zoo.entry(config.model)
    channels, height, width = override(entry, entry.preprocessing(), options).input_shape
    shape = (channels, config.crop or height, config.crop or width)
    targets = tuple(part.strip() for part in config.targets.split(","))
    refuse_scripted(model, config.model)
    try:
        with torch.no_grad():
            output = keep_input(model, torch.rand(1, *shape, dtype=dtype(model)))
    except Exception as error:  # a user's forward may raise anything
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise TgrError(
            f"--model {config.model} fails on an input of {'×'.join(map(str, shape))} ({why}); set its size with "
            "--crop, or, for one channel, give --mean and --std of one value each"
        ) from error
    refuse_no_tensor(config.model, output)
    network = hooked.capture(model, shape, batch_size=IMAGES, targets=targets, reporter=reporter)
    sites = network.sites_of(config.target)
    if config.target == "neuron" and (told := unseen_work(model, shape, sites).sentence(config.targets)):
        reporter.note(told)
    maps = tuple(network.feature_maps(site) if not site.is_parameter else 0 for site in sites)
    if config.margin is None:
        return Result(sites, shape, feature_maps=maps)
    stored = network.stored_format(config.target)
    width = stored.width if stored else bits(dtype(model))
    populations = tuple(site.neurons * width for site in sites)
    samples = tuple(sample_size(size, config.margin, config.confidence) for size in populations)
    return Result(sites, shape, populations, samples, sample_size(10**15, config.margin, config.confidence), maps)
