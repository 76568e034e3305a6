"""The subject of a measurement as it is deployed in a number format.

Suffixes: B batch, C classes or channels, H W height and width.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

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
    """Return the subject of `settings`, deployed if they name a number format.

    Raises TgrError for a model that does not compute in float32: rounding what is rounded already is no deployment.
    """
    form, weight_form = formats_of(settings.format, settings.weight_format)
    subject = Subject.open(settings, reporter, images)
    if form is None and weight_form is None:
        return subject
    if subject.dtype != torch.float32:
        option = "--format" if form else "--weight-format"
        raise TgrError(
            f"{subject.name} computes in {subject.facts['format']}, and {option} deploys a model of float32; convert "
            f"its weights to float32, or leave {option} out"
        )
    parts = (settings, subject.images, subject.loaded, reporter)
    return DeployedSubject(*parts, form, weight_form, as_it_is=subject)


@dataclass(frozen=True)
class DeployedSubject(Subject):
    """A model deployed in number formats, and its pool of images; `as_it_is` is the model before that.

    Scales are fitted to the ranges of the run's sites before the deployment, which are profiled if there are none.
    """

    settings: DeployedSettings
    form: Format | None
    weight_form: Format | None
    as_it_is: Subject = field(repr=False)
    _networks: dict[Any, tuple[AnyNetwork, SiteRanges]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def format(self) -> str | None:
        return self.form.name if self.form else None

    @property
    def weight_format(self) -> str | None:
        return self.weight_form.name if self.weight_form else None

    @property
    def facts(self) -> dict[str, Any]:
        """Return metadata for artifacts: those of the model, its formats, and what their scales were fitted to."""
        facts = super().facts
        if self.form is not None:
            _, found = self._deployed(self.settings.targets)
            facts |= {
                "format": self.form.name,
                "number_format": self.form.facts,
                "rounded": self.settings.targets,
                "calibration": {"scale": SCALE, **found.profiled_on, **found.inputs} if found.inputs else {},
            }
        if self.weight_form is not None:
            facts |= {"weight_format": self.weight_form.name, "weight_number_format": self.weight_form.facts}
        return facts

    def network(self, targets: str) -> AnyNetwork:
        """Return the deployed network; the outputs of its sites are rounded."""
        return self._deployed(targets)[0]

    def classify(self) -> golden.GoldenRun:
        return self._classify(
            _Module(self.network(self.settings.targets)),
            advice=f"{self.format or self.weight_format} may not hold its values: classify without the format to see",
        )

    def _deployed(self, targets: str) -> tuple[AnyNetwork, SiteRanges]:
        """Return the deployed network, captured once, and the ranges that its scales were fitted to."""
        key = (targets, self.settings.batch_size)
        if key not in self._networks:
            before = replace(self.as_it_is, settings=self.settings)
            network = before.network(targets)
            found = ranges.of_neurons(before, network, path=None, targets=targets) if calibrated(self.form) else None
            limits = {name: (low, found.high[name]) for name, low in found.low.items()} if found else None
            deployment = deployment_of(network, self.form, self.weight_form, limits)
            self._networks[key] = network.deployed(deployment), found or SiteRanges()
        return self._networks[key]


class _Module(nn.Module):
    """A deployed network as a module, for batches of any size."""

    def __init__(self, network: AnyNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x_BCHW: Tensor) -> Tensor:
        size = self.network.batch_size
        return torch.cat([self.network.forward(padded(part, size))[: len(part)] for part in x_BCHW.split(size)])
