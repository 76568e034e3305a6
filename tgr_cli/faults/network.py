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
from tgr_cli.faults.formats.stored import is_stored, stored_format
from tgr_cli.faults.patterns.layout import Layout
from tgr_cli.faults.places import Places
from tgr_cli.faults.scale_groups import ScaleGroups
from tgr_cli.faults.sites import Site

Replacements = Mapping[str, Callable[[Tensor], Tensor]]


class AnyNetwork(ABC):
    """A model in evaluation mode whose sites can be observed and injected into.

    `sites` are operation calls in execution order. `parameters` are the injectable tensors by name; they are the
    model's own, or rounded copies of them in a deployed network, and never written to. `facts` go into the metadata of
    artifacts: the parts of the model that cannot be observed. `deployment` is None for the model as it is. `rounding`
    names the operations with which the model itself rounds what it computes, as a quantised one does; `jumps`
    names other operations with jumps, and dtypes less precise than `dtype` that such values are cast to. `guarded` is
    whether the model runs under guards.
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
    rounding: tuple[str, ...] = ()
    jumps: tuple[str, ...] = ()
    guarded: bool = False

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

    def maps(self, site: Site) -> Places:
        """Return the division of a call's output into one place for each of its channels, wherever these lie."""
        return Places.of_maps(site, self.channel_axis(site.name))

    def feature_maps(self, site: Site) -> int:
        """Return the number of output channels of a convolution, as ISSRE 2021 (Table I) counts; 0 for other sites."""
        return self.maps(site).count if site.op == "conv" else 0

    def scale_groups(self, site: Site, form: Format) -> ScaleGroups:
        """Return which of a site's elements share a scale of the format."""
        if site.is_parameter:
            return ScaleGroups.of_tensor(form, site.shape, self.output_axis(site.name))
        return ScaleGroups.of_output(form, site.shape or (1,), self.channel_axis(site.name))

    def sites_of(self, target: str) -> tuple[Site, ...]:
        """Return the sites of `target` ("neuron", "weight", "bias" or "buffer"), in order of first use.

        The weights of a network with a format for them are those that are stored in it, and those of a quantised model
        the ones that it stores as integers. Raises TgrError where there are none, or where they are of several dtypes
        or of another one than the network's.
        """
        if target == "neuron":
            return self.sites
        every = self._tensors_of(target)
        found = tuple(site for site in every if self._is_stored(site)) or every
        if target == "weight" and self.deployment is not None and self.deployment.weight_form is not None:
            found = tuple(site for site in found if site.name in self.deployment.weight_scales)
        if not found:
            raise TgrError(f"the logits depend on no floating-point {target} of the model; use another --target")
        expected = self.parameters[found[0].name].dtype if self._is_stored(found[0]) else self.dtype
        for site in found:
            if (dtype := self.parameters[site.name].dtype) != expected:
                others = f'"{found[0].name}"' if self._is_stored(site) else "the model"
                raise TgrError(
                    f'the {target} "{site.name}" is {dtype} and {others} {expected}; '
                    "convert the model to one format to strike its tensors"
                )
        return found

    def stored_format(self, target: str) -> Format | None:
        """Return the format of the integers that the sites of `target` are; None for real values.

        Raises TgrError as `sites_of` does.
        """
        if target == "neuron" or not any(self._is_stored(site) for site in self._tensors_of(target)):
            return None
        return stored_format(self.parameters[self.sites_of(target)[0].name].dtype)

    def left_out(self, target: str) -> tuple[Site, ...]:
        """Return the tensors of `target` that are no sites, as the others are stored as integers and they are not."""
        every = self._tensors_of(target)
        return tuple(s for s in every if not self._is_stored(s)) if any(map(self._is_stored, every)) else ()

    def _tensors_of(self, target: str) -> tuple[Site, ...]:
        return tuple(site for site in self.parameter_sites if site.op == target)

    def _is_stored(self, site: Site) -> bool:
        return is_stored(self.parameters[site.name].dtype)


def changing(buffer: str) -> TgrError:
    return TgrError(f'the model changes its buffer "{buffer}" when it runs; take that out of its forward')


def no_logits(shapes: object) -> TgrError:
    return TgrError(f"the model returns {shapes}, where one tensor of logits (images, classes) is expected")
