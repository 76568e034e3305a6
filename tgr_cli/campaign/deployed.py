"""The subject of a measurement as it is deployed in a number format.

Suffixes: B batch, C classes or channels, H W height and width.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from tgr_cli.campaign import ranges
from tgr_cli.campaign.ranges import SiteRanges
from tgr_cli.campaign.subject import Settings, Subject
from tgr_cli.data.datasets import ImageSet
from tgr_cli.errors import TgrError
from tgr_cli.faults.deploying import calibrated, deployment_of, formats_of
from tgr_cli.faults.engines.engine import padded
from tgr_cli.faults.formats import Format
from tgr_cli.faults.network import AnyNetwork
from tgr_cli.faults.sites import OPS
from tgr_cli.models import golden
from tgr_cli.reporting import Reporter

SCALE = "per layer"  # ISSRE 2021 does not say whether its scale is that of a layer or of the network


class DeployedSettings(Settings, Protocol):
    """Settings with the names of the number formats, and the operations whose outputs are rounded."""

    @property
    def format(self) -> str | None: ...
    @property
    def weight_format(self) -> str | None: ...
    @property
    def targets(self) -> str: ...


def open_subject(settings: DeployedSettings, reporter: Reporter, images: ImageSet | None = None) -> Subject:
    """Return the subject of `settings`, deployed if they name a number format; raises TgrError as `deployed` does."""
    form, weight_form = formats_of(settings.format, settings.weight_format)
    subject = Subject.open(settings, reporter, images)
    if form is None and weight_form is None:
        return subject
    _refuse_other_dtype(subject, form)
    return DeployedSubject(settings, subject.images, subject.loaded, reporter, form, weight_form)


Captured = TypeVar("Captured", bound=AnyNetwork)


def deployed(
    subject: Subject, network: Captured, form: Format | None, weight_form: Format | None, targets: str
) -> Captured:
    """Return the network of a subject, captured with `targets`, deployed in these formats; its facts say how.

    Scales are fitted to the ranges of the run's sites before the deployment, which are profiled if there are none.
    Raises TgrError for a model that does not compute in float32: rounding what is rounded already is no deployment.
    """
    _refuse_other_dtype(subject, form)
    _refuse_quantised(subject, network, form, weight_form)
    found, facts = SiteRanges(), dict[str, Any]()
    if form is not None:
        if calibrated(form):
            found = ranges.of_neurons(subject, network, path=None, targets=targets)
        calibration = {"scale": SCALE, **found.profiled_on, **found.inputs} if found.inputs else {}
        rounded = ",".join(op for op in OPS if op in {site.op for site in network.sites})
        facts |= {"format": form.name, "number_format": form.facts, "rounded": rounded, "calibration": calibration}
    if weight_form is not None:
        facts |= {"weight_format": weight_form.name, "weight_number_format": weight_form.facts}
    limits = {name: (low, found.high[name]) for name, low in found.low.items()}
    result = network.deployed(deployment_of(network, form, weight_form, limits))
    result.facts = {**network.facts, **facts}
    return result


def _refuse_other_dtype(subject: Subject, form: Format | None) -> None:
    if subject.dtype != torch.float32:
        option = "--format" if form else "--weight-format"
        raise TgrError(
            f"{subject.name} computes in {subject.facts['format']}, and {option} deploys a model of float32; convert "
            f"its weights to float32, or leave {option} out"
        )


def _refuse_quantised(subject: Subject, network: AnyNetwork, form: Format | None, weight_form: Format | None) -> None:
    """Raise TgrError for a model that is quantised itself."""
    if weight_form is not None and (stored := network.stored_format("weight")):
        raise TgrError(
            f"--weight-format is {weight_form.name}, and {subject.name} stores its weights as integers already "
            f"({stored.name}); leave --weight-format out"
        )
    if form is not None and network.rounding:
        raise TgrError(
            f"--format is {form.name}, and {subject.name} rounds what it computes itself "
            f"({', '.join(network.rounding)}); leave --format out"
        )


@dataclass(frozen=True)
class DeployedSubject(Subject):
    """A model deployed in number formats, and its pool of images."""

    settings: DeployedSettings
    outputs: Format | None
    stored: Format | None
    _networks: dict[Any, AnyNetwork] = field(default_factory=dict, repr=False, compare=False)

    @property
    def form(self) -> Format | None:
        return self.outputs

    @property
    def weight_form(self) -> Format | None:
        return self.stored

    @property
    def facts(self) -> dict[str, Any]:
        """Return metadata for artifacts: those of the model, its formats, and what their scales were fitted to."""
        return super().facts | dict(self.network(self.settings.targets).facts)

    def network(self, targets: str) -> AnyNetwork:
        """Return the deployed network, captured once; the outputs of its sites are rounded."""
        key = (targets, self.settings.batch_size)
        if key not in self._networks:
            before = Subject(self.settings, self.images, self.loaded, self.reporter)
            network = before.network(targets)
            self._networks[key] = deployed(before, network, self.form, self.weight_form, targets)
        return self._networks[key]

    def classify(self, seen: golden.Digest | None = None) -> golden.GoldenRun:
        return self._classify(
            _Module(self.network(self.settings.targets)),
            seen,
            advice=f"{self.format or self.weight_format} may not hold its values: classify without the format to see",
        )


class _Module(nn.Module):
    """A deployed network as a module, for batches of any size."""

    def __init__(self, network: AnyNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x_BCHW: Tensor) -> Tensor:
        size = self.network.batch_size
        return torch.cat([self.network.forward(padded(part, size))[: len(part)] for part in x_BCHW.split(size)])
