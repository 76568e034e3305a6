"""The feature maps of a network's struck sites: their work, and which one each fault struck."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

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
        """Return the maps of the sites in `feature_maps`: the channel axis of one image's output, and how many maps.

        `sites` are the sites' facts, `struck` the columns `site` and `index` of injections.
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
        axes = {name: facts["axis"] for name, facts in feature_maps.items()}
        of_N = _of_draws(struck, first, axes)
        return cls(site_M, np.concatenate(channels), np.concatenate(cost), of_N, work)

    def by_site(self, chosen: np.ndarray) -> dict[str, list[int]]:
        """Return the channels of the chosen maps by site, both in the order of the network."""
        found: dict[str, list[int]] = {}
        for place in np.sort(chosen).tolist():
            found.setdefault(self.site_M[place], []).append(int(self.channel_M[place]))
        return found


def _of_draws(struck: pa.Table, first: Mapping[str, int], axes: Mapping[str, int]) -> np.ndarray:
    """Return the map of each draw, from the struck element's index along its site's channel axis."""
    names = struck["site"].combine_chunks().dictionary_encode()
    known = names.dictionary.to_pylist()
    code_N = names.indices.to_numpy()
    first_N = np.array([first.get(name, NO_MAP) for name in known], np.int64)[code_N]
    axis_N = np.array([axes.get(name, 0) for name in known], np.int64)[code_N]
    index = struck["index"].combine_chunks()
    start_N, flat = index.offsets.to_numpy()[:-1], index.values.to_numpy()
    inside_N = first_N != NO_MAP
    of_N = np.full(len(code_N), NO_MAP, np.int64)
    of_N[inside_N] = first_N[inside_N] + flat[(start_N + axis_N)[inside_N]]
    return of_N
