"""Which sites a campaign strikes, and whether its faults are dealt to whole sites or to their feature maps."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tgr_cli.artifacts import store
from tgr_cli.campaign.config import Config
from tgr_cli.errors import TgrError
from tgr_cli.faults.network import AnyNetwork
from tgr_cli.faults.places import Places
from tgr_cli.faults.sites import Site


def as_planned(config: Config) -> Config:
    """Return the settings with the granularity of the stored plan, if one is given and the option is not."""
    if config.plan is None or config.by_map:
        return config
    drawn = store.describe(config.plan)[1].config
    return replace(config, granularity=drawn.get("granularity", config.granularity))


def struck_sites(config: Config, network: AnyNetwork) -> tuple[Site, ...]:
    """Return the sites that the campaign strikes: of the target, and convolutions only if their maps are struck.

    Raises TgrError if none is a convolution.
    """
    sites = network.sites_of(config.target)
    if config.granularity != "map":
        return sites
    found = tuple(site for site in sites if site.op == "conv")
    if not found:
        raise TgrError(
            f"--granularity map strikes convolutions, and the model has none among its {len(sites)} sites of --targets "
            f"{config.targets}; use --granularity channel for the output channels of the others, or site"
        )
    return found


def places(config: Config, network: AnyNetwork, sites: Sequence[Site]) -> dict[str, Places] | None:
    """Return the feature maps of each site, by its name; None where faults are dealt to whole sites."""
    return {site.name: network.maps(site) for site in sites} if config.by_map else None


def facts(config: Config, network: AnyNetwork, sites: Sequence[Site]) -> dict[str, Any]:
    """Return the metadata by which each fault's feature map is known: axis of the index, and number of maps, by site.

    Empty where faults are dealt to whole sites.
    """
    if not config.by_map:
        return {}
    found = {}
    for site in sites:
        axis = len(site.shape) + network.channel_axis(site.name) if site.shape else 0
        found[site.name] = {"axis": axis, "count": network.maps(site).count}
    return {"feature_maps": found}
