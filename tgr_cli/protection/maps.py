"""The feature maps of a network's struck sites: their work, and which one each fault struck."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tgr_cli.artifacts.store import Artifact
from tgr_cli.metrics import population
from tgr_cli.metrics.population import Population

NO_MAP = -1


@dataclass(frozen=True)
class Maps:
    """The feature maps: site and channel of each [M], its share of the network's work [M], and each draw's map [N].

    A draw outside of all maps has NO_MAP. `work` is the population in which the maps' multiply-accumulates count alike.
    """

    site_M: Sequence[str]
    channel_M: np.ndarray
    cost_M: np.ndarray
    of_N: np.ndarray
    work: Population

    @classmethod
    def of(
        cls,
        sites: Sequence[Mapping[str, Any]],
        feature_maps: Mapping[str, Mapping[str, int]],
        struck: pa.Table,
        network_macs: int,
        work: Population,
    ) -> "Maps":
        """Return the maps of the sites in `feature_maps`, which has how many there are (`count`) at each site.

        `sites` are the sites' facts, `struck` the columns `site` and `fault` of injections.
        """
        site_M, channels, cost, first = list[str](), list[np.ndarray](), list[np.ndarray](), dict[str, int]()
        for site in sites:
            if site["site"] not in feature_maps:
                continue
            count = feature_maps[site["site"]]["count"]
            first[site["site"]] = len(site_M)
            site_M += [site["site"]] * count
            channels.append(np.arange(count))
            cost.append(np.full(count, site["macs"] / count / network_macs))
        channel_N = of_draws(struck, feature_maps)
        names = struck["site"].combine_chunks().dictionary_encode()
        first_N = np.array([first.get(name, 0) for name in names.dictionary.to_pylist()])[names.indices.to_numpy()]
        of_N = np.where(channel_N == NO_MAP, NO_MAP, first_N + channel_N)
        return cls(site_M, np.concatenate(channels), np.concatenate(cost), of_N, work)

    def by_site(self, chosen: np.ndarray) -> dict[str, list[int]]:
        """Return the channels of the chosen maps by site, both in the order of the network."""
        found: dict[str, list[int]] = {}
        for place in np.sort(chosen).tolist():
            found.setdefault(self.site_M[place], []).append(int(self.channel_M[place]))
        return found


def of_draws(struck: pa.Table, feature_maps: Mapping[str, Mapping[str, int]]) -> np.ndarray:
    """Return the channel that each draw's fault struck at its site, NO_MAP at a site without feature maps, int [N].

    `struck` are the columns `site` and `fault` of injections. Faults are dealt to the maps of a site in turn, so that
    of C maps fault f strikes map f % C.
    """
    names = struck["site"].combine_chunks().dictionary_encode()
    count_N = np.array(
        [feature_maps[name]["count"] if name in feature_maps else 0 for name in names.dictionary.to_pylist()], np.int64
    )[names.indices.to_numpy()]
    return np.where(count_N > 0, struck["fault"].to_numpy() % np.maximum(count_N, 1), NO_MAP)


def network_macs(campaign: Artifact) -> int:
    """Return the multiply-accumulates of the network for one image, with those of operations that no fault strikes."""
    unseen = campaign.provenance.extra.get("unseen_work")
    return int(unseen["of"] if unseen else campaign.fact("macs"))


def maps_of(campaign: Artifact, struck: Sequence[str], targets: str | None) -> Maps:
    """Return the feature maps of a campaign at the `struck` sites of these operations (None: `population.of`'s)."""
    sites = [site for site in campaign.fact("sites") if site["site"] in set(struck)]
    work = population.of(sites, "macs", targets)
    counted = {name for name, share in work.coefficient.items() if share > 0}
    feature_maps = {name: facts for name, facts in campaign.fact("feature_maps").items() if name in counted}
    return Maps.of(sites, feature_maps, campaign.table, network_macs(campaign), work)
