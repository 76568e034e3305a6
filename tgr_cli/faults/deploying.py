"""Fits the scales with which a network is deployed in a number format."""

from collections.abc import Mapping

import torch
from torch import Tensor

from tgr_cli.errors import TgrError
from tgr_cli.faults import scales
from tgr_cli.faults.deployment import Deployment
from tgr_cli.faults.formats import NATIVE, Format, Native, Scale, format_named
from tgr_cli.faults.network import AnyNetwork

Ranges = Mapping[str, tuple[float, float]]
FLOAT32 = NATIVE["float32"]


def formats_of(form: str | None, weight_form: str | None) -> tuple[Format | None, Format | None]:
    """Return the formats of these names, of outputs and of weights; raises TgrError for one that does not suit."""
    outputs = None if form is None else format_named(form)
    stored = None if weight_form is None else format_named(weight_form, "--weight-format")
    for option, each in (("--format", outputs), ("--weight-format", stored)):
        if isinstance(each, Native) and (each.width > FLOAT32.width or not each.exponent):
            raise TgrError(
                f"{option} is {each.name}, in which a network of float32 is not deployed: it would round to whole "
                "numbers, or not at all; use a narrower float, or an integer format with a scale"
            )
    refuse(outputs)
    return outputs, stored


def deployment_of(
    network: AnyNetwork, form: Format | None, weight_form: Format | None, ranges: Ranges | None = None
) -> Deployment:
    """Return the deployment of a network, with a scale for each site (per layer) and weight.

    `ranges` are the smallest and the largest value of each site, as the network computes them before it is deployed;
    only formats that are `calibrated` need them. Raises TgrError as `refuse` does.
    """
    refuse(form)
    of_sites, of_weights = {}, {}
    if form is not None and calibrated(form):
        assert ranges is not None
        for site in network.sites:
            low, high = torch.tensor(ranges[site.name], device=network.device, dtype=network.dtype)
            of_sites[site.name] = fitted(form, site.name, low, high)
    if weight_form is not None:
        for name in weights(network):
            of_weights[name] = scales.of_weight(weight_form, network.parameters[name], network.output_axis(name))
    return Deployment(form, of_sites, weight_form, of_weights)


def calibrated(form: Format | None) -> bool:
    """Return whether a format of outputs needs the sites' ranges: it has scales, and they are not fitted anew."""
    return form is not None and bool(form.shared) and not form.dynamic


def fitted(form: Format, site: str, low: Tensor, high: Tensor) -> Scale | None:
    """Return the format's scale for the values of a site from `low` to `high`; raises TgrError that names the site."""
    try:
        return form.fit(low, high)
    except TgrError as error:
        raise TgrError(f"site {site}: {error}") from error


def refuse(form: Format | None, option: str = "--format") -> None:
    """Raise TgrError, in the name of the command's `option`, for a format that cannot store the outputs of sites."""
    if form is not None and not form.dynamic and form.shared not in ("", "tensor"):
        weights_too = ", or this one with --weight-format" if option == "--format" else ""
        raise TgrError(
            f"{option} is {form.name}, which has a scale for each {form.shared} of a stored tensor, and the output of "
            f"a layer has one scale; name another format with {option}{weights_too}"
        )


def weights(network: AnyNetwork) -> list[str]:
    """Return the names of the weights that multiply-accumulates read, in order of first use."""
    return [site.name for site in network.parameter_sites if site.op == "weight" and site.macs]
