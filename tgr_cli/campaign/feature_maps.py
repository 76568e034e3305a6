"""The artifact `feature_maps` of a campaign whose faults are dealt to feature maps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import feature_maps_beside
from tgr_cli.artifacts.provenance import sha256_file
from tgr_cli.artifacts.schemas import FEATURE_MAPS, INJECTIONS
from tgr_cli.artifacts.store import Artifact, provenance_for
from tgr_cli.errors import TgrError
from tgr_cli.metrics import feature_maps
from tgr_cli.metrics.convergence import MapDraws, convergences, held
from tgr_cli.metrics.feature_maps import MapStudy
from tgr_cli.metrics.intervals import Estimate
from tgr_cli.metrics.summary import FaultColumns, Row

DRAWS = ("fault", "site", "weight", "dloss", "outcome")  # columns of `injections` by which maps are ordered


@dataclass(frozen=True, kw_only=True)
class MapResults:
    """The `feature_maps` artifact of a campaign, its rows, and V_CNN by mean dLoss (v_dloss) and mismatch (v_sdc)."""

    path: Path
    rows: list[dict[str, Any]]
    v_cnn: dict[str, Estimate]


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


def study(injections: Path, *, required: bool = True) -> MapStudy | None:
    """Return what a campaign tells of feature maps; None if its faults were dealt to whole sites.

    Raises TgrError where its `feature_maps` are of other injections or, if they are `required`, missing.
    """
    if "feature_maps" not in store.describe(injections)[1].extra:
        return None
    if not required and not feature_maps_beside(injections).exists():
        return None
    artifact = read(injections)
    faults = draws(store.read(injections, INJECTIONS, columns=DRAWS))
    metric = "sdc" if artifact.provenance.config.get("limit") == "none" else "dloss"
    return MapStudy(
        rows=artifact.table.to_pylist(),
        v_cnn=artifact.fact("v_cnn"),
        convergences=tuple(convergences(faults)),
        held=held(faults, metric),
    )


def draws(injections: Artifact) -> MapDraws:
    """Return a campaign's faults by feature map and rank in it, maps in the order of the sites and their channels.

    `injections` needs the columns of DRAWS; its campaign must have dealt its faults to feature maps.
    """
    table, sites = injections.table, injections.fact("sites")
    counts = {name: here["count"] for name, here in injections.fact("feature_maps").items()}
    names = table["site"].combine_chunks().dictionary_encode()
    site_N, found = names.indices.to_numpy(), names.dictionary.to_pylist()
    sites = [site for site in sites if site["site"] in found]
    count_S = np.array([counts[site["site"]] for site in sites])
    macs_S = np.array([site["macs"] for site in sites], np.float64)
    at = np.array([[site["site"] for site in sites].index(name) for name in found])[site_N]
    fault_N, count_N = table["fault"].to_numpy(), count_S[at]
    return MapDraws(
        map=(np.cumsum(count_S) - count_S)[at] + fault_N % count_N,
        rank=fault_N // count_N,
        weight=table["weight"].to_numpy(),
        dloss=table["dloss"].to_numpy(),
        sdc=pc.equal(table["outcome"], "sdc").to_numpy(),
        v_orig=np.repeat(macs_S / count_S / max(macs_S.sum(), 1), count_S),
    )


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
