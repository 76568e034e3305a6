"""The interface of a network with sites, implemented by the graph and by the hooked model.

Suffixes: B batch, C classes or channels, H W height and width, N neurons of one image's share.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import Tensor

from tgr_cli.errors import TgrError
from tgr_cli.faults.deployment import Deployment
from tgr_cli.faults.formats import Format
from tgr_cli.faults.patterns.layout import Layout
from tgr_cli.faults.scale_groups import ScaleGroups
from tgr_cli.faults.sites import Site

Replacements = Mapping[str, Callable[[Tensor], Tensor]]


class AnyNetwork(ABC):
    """A model in evaluation mode whose sites can be observed and injected into.

    `sites` are operation calls in execution order. `parameters` are the injectable tensors by name; they are the
    model's own, or rounded copies of them in a deployed network, and never written to. `facts` go into the metadata of
    artifacts: the parts of the model that cannot be observed. `deployment` is None for the model as it is.
    """

    sites: tuple[Site, ...]
    parameter_sites: tuple[Site, ...]
    parameters: Mapping[str, Tensor]
    batch_size: int
    input_shape: tuple[int, ...]
    num_classes: int
    device: torch.device
    dtype: torch.dtype
    facts: Mapping[str, Any]
    deployment: Deployment | None = None

    @property
    def rounds(self) -> bool:
        """Return whether the outputs of sites are rounded to a number format."""
        return self.deployment is not None and self.deployment.form is not None

    @abstractmethod
    def forward(
        self,
        x_BCHW: Tensor,
        *,
        strike: Replacements | None = None,
        observe: Callable[[Site, Tensor], None] | None = None,
        parameters: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Return the logits [B, C] of exactly `batch_size` images, in the model's dtype and on its device.

        `strike` maps a site's name to a function from its output, viewed as [B, N] ([1, N] where the site is not per
        image), to the tensor of the same shape that replaces it. `observe` is called with each site and its output
        after replacement, in the same view. `parameters` override the model's own.
        """

    @abstractmethod
    def deployed(self, deployment: Deployment) -> Self:
        """Return the network with its sites' outputs and its weights rounded; this one stays as it is."""

    @abstractmethod
    def channel_axis(self, site: str) -> int:
        """Return the axis of the channels in one image's share of a site's output, counted from the end (negative)."""

    @abstractmethod
    def output_axis(self, name: str) -> int:
        """Return the axis of a tensor along which the outputs of the layer that reads it lie."""

    def layout(self, site: Site) -> Layout:
        """Return the layout of a site's values: of one image's share of an output, or of a tensor."""
        if site.is_parameter:
            return Layout.of_tensor(site.shape, self.output_axis(site.name))
        return Layout.of_output(site.shape, self.channel_axis(site.name))

    def scale_groups(self, site: Site, form: Format) -> ScaleGroups:
        """Return which of a site's elements share a scale of the format."""
        if site.is_parameter:
            return ScaleGroups.of_tensor(form, site.shape, self.output_axis(site.name))
        return ScaleGroups.of_output(form, site.shape or (1,), self.channel_axis(site.name))

    def sites_of(self, target: str) -> tuple[Site, ...]:
        """Return the sites of `target` ("neuron", "weight", "bias" or "buffer"), in order of first use.

        The weights of a network with a format for them are those that are stored in it. Raises TgrError where there are
        none, or where their dtype is not the network's.
        """
        if target == "neuron":
            return self.sites
        found = tuple(site for site in self.parameter_sites if site.op == target)
        if target == "weight" and self.deployment is not None and self.deployment.weight_form is not None:
            found = tuple(site for site in found if site.name in self.deployment.weight_scales)
        if not found:
            raise TgrError(f"the logits depend on no floating-point {target} of the model; use another --target")
        for site in found:
            if (dtype := self.parameters[site.name].dtype) != self.dtype:
                raise TgrError(
                    f'the {target} "{site.name}" is {dtype} and the model {self.dtype}; '
                    "convert the model to one format to strike its tensors"
                )
        return found


def changing(buffer: str) -> TgrError:
    return TgrError(f'the model changes its buffer "{buffer}" when it runs; take that out of its forward')


def no_logits(shapes: object) -> TgrError:
    return TgrError(f"the model returns {shapes}, where one tensor of logits (images, classes) is expected")
