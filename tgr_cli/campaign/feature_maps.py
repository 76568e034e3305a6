"""The artifact `feature_maps` of a campaign whose faults are dealt to feature maps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import feature_maps_beside
from tgr_cli.artifacts.provenance import sha256_file
from tgr_cli.artifacts.schemas import FEATURE_MAPS
from tgr_cli.artifacts.store import Artifact, provenance_for
from tgr_cli.errors import TgrError
from tgr_cli.metrics import feature_maps
from tgr_cli.metrics.intervals import Estimate
from tgr_cli.metrics.summary import FaultColumns, Row


@dataclass(frozen=True, kw_only=True)
class MapResults:
    """The `feature_maps` artifact of a campaign, its rows, and V_CNN by mean dLoss (v_dloss) and mismatch (v_sdc)."""

    path: Path
    rows: list[dict[str, Any]]
    v_cnn: dict[str, Estimate]


def channels(index: pa.ChunkedArray, axis: int) -> np.ndarray:
    """Return the feature map that each element lies in, [N], from the column `index` of injections at one site."""
    lists = index.combine_chunks()
    if not len(lists):
        return np.zeros(0, np.int64)
    if not len(lists[0]):  # a site of a single number has one map
        return np.zeros(len(lists), np.int64)
    return lists.values.to_numpy()[lists.offsets.to_numpy()[:-1] + axis]


def write(
    injections: Path, table: pa.Table, struck: FaultColumns, sites: Sequence[Row], made: Mapping[str, Any]
) -> MapResults:
    """Return the results for feature maps, written beside the `injections` with these rows.

    `sites` are those with faults, `made` the fields of the provenance of the campaign.
    """
    confidence, rows = made["config"]["confidence"], []
    work = sum(site["macs"] for site in sites)
    site_N, fault_N = table["site"].to_numpy(), table["fault"].to_numpy()
    for site in sites:
        own_N = site_N == site["site"]
        here = made["extra"]["feature_maps"][site["site"]]
        rows += feature_maps.site_rows(
            site,
            struck.where(own_N),
            channel_N=channels(table["index"].filter(pa.array(own_N)), here["axis"]),
            fault_N=fault_N[own_N],
            maps=here["count"],
            work=work,
            confidence=confidence,
        )
    whole = feature_maps.v_cnn(sites, struck, confidence)
    provenance = provenance_for(
        FEATURE_MAPS,
        **{
            **made,
            "inputs": {"injections": sha256_file(injections)},
            "extra": {**made["extra"], "v_cnn": {name: _limits(each) for name, each in whole.items()}},
        },
    )
    path = feature_maps_beside(injections)
    store.write(path, FEATURE_MAPS, pa.Table.from_pylist(rows, schema=FEATURE_MAPS.arrow), provenance)
    return MapResults(path=path, rows=rows, v_cnn=whole)


def _limits(estimate: Estimate) -> list[float | None]:
    """Return an estimate and its limits; None where one is undefined."""
    return [None if math.isnan(value) else value for value in (estimate.mean, estimate.low, estimate.high)]


def read(injections: Path) -> Artifact:
    """Return the `feature_maps` of a campaign, by the path of its injections.

    Raises TgrError if there is none, or it is of an earlier campaign at the same place.
    """
    path = feature_maps_beside(injections)
    found = store.read(path, FEATURE_MAPS)
    if found.provenance.inputs.get("injections") != sha256_file(injections):
        raise TgrError(
            f'{path} was made from other injections than {injections} holds now; run "{FEATURE_MAPS.command}" again'
        )
    return found
