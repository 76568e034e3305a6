"""The results of a finished campaign: `injections`, the vulnerability of each site, and the network's estimates."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from tgr_cli.artifacts import store
from tgr_cli.artifacts.columns import Schema
from tgr_cli.artifacts.facts import lasting
from tgr_cli.artifacts.fault_facts import (
    fault_model_of,
    faults_in_words,
    formats_in_words,
    pattern_of,
    struck_format_of,
)
from tgr_cli.artifacts.layout import deployed_name, feature_maps_beside, vulnerability_beside
from tgr_cli.artifacts.provenance import sha256_file
from tgr_cli.artifacts.schemas import FEATURE_MAPS, INJECTIONS, VULNERABILITY
from tgr_cli.artifacts.store import provenance_for
from tgr_cli.campaign import feature_maps, too_few_faults
from tgr_cli.campaign.feature_maps import MapResults
from tgr_cli.metrics import summary

# columns of `injections` that the estimates need
COLUMNS = ("fault", "site", "bit", "image_id", "weight", "image_excess", "dloss", "outcome")


@dataclass(frozen=True, kw_only=True)
class Written:
    """The artifacts of a campaign, its sites' rows and the network's estimates.

    `run` is the name of the run with the formats that the model is deployed in. `format` says in which formats it
    computes and stores (`fault_facts.formats_in_words`), `struck_format` in which one the struck values are, and
    `faults_are` what strikes them (`fault_facts.faults_in_words`).
    A lasting fault has several `rows` of injections, one per image that it was tried on. If not `limited` to the
    value ranges, a few faults dominate mean dLoss, which is then not reported. `maps` are the feature maps, None where
    faults were dealt to whole sites. `warning` says if there are too few faults for the intervals.
    """

    run: str
    format: str
    struck_format: str
    faults_are: str
    fault_model: str
    pattern: str
    faults: int
    rows: int
    injections: Path
    vulnerability: Path
    sites: list[dict[str, Any]]
    network: summary.NetworkEstimates
    limited: bool
    maps: MapResults | None = None
    warning: str = ""

    @property
    def paths(self) -> list[Path]:
        """Return the paths of all artifacts that were written."""
        return [self.injections, self.vulnerability, *([self.maps.path] if self.maps else [])]


def beside(path: Path, *, by_map: bool) -> list[tuple[Path, Schema]]:
    """Return the paths and kinds of the artifacts that are written beside the `injections` at `path`."""
    maps = [(feature_maps_beside(path), FEATURE_MAPS)] if by_map else []
    return [(vulnerability_beside(path), VULNERABILITY), *maps]


def write(path: Path, table: pa.Table, facts: Mapping[str, Any]) -> Written:
    """Return the results of INJECTIONS rows, written as `injections` at `path` and the artifacts `beside` it.

    `facts` are fields of both provenances; its `extra` has the metadata of all sites, in order, under `sites`.
    """
    struck = read(table, facts["config"])
    numbers = table.group_by("site").aggregate([("fault", "count_distinct")])
    faults = dict(zip(numbers["site"].to_pylist(), numbers["fault_count_distinct"].to_pylist(), strict=True))
    confidence = facts["config"]["confidence"]
    rows = [
        summary.vulnerability_row(site, struck.at(site["site"]), confidence, count=faults[site["site"]])
        for site in facts["extra"]["sites"]
        if site["site"] in faults
    ]
    campaign = provenance_for(INJECTIONS, **facts)
    store.write(path, INJECTIONS, table, campaign)
    vulnerability = vulnerability_beside(path)
    inputs = {"injections": sha256_file(path)}
    sites = pa.Table.from_pylist(rows, schema=VULNERABILITY.arrow)
    store.write(vulnerability, VULNERABILITY, sites, provenance_for(VULNERABILITY, **{**facts, "inputs": inputs}))
    maps = feature_maps.write(path, table, struck, rows, facts) if "feature_maps" in facts["extra"] else None
    return Written(
        run=deployed_name(facts["extra"]["run"], *campaign.deployed_in),
        format=formats_in_words(campaign),
        struck_format=struck_format_of(campaign),
        faults_are=faults_in_words(campaign),
        fault_model=fault_model_of(campaign),
        pattern=pattern_of(campaign),
        faults=sum(faults.values()),
        rows=table.num_rows,
        injections=path,
        vulnerability=vulnerability,
        sites=rows,
        network=summary.network(rows, struck, confidence),
        limited=facts["config"]["limit"] != "none",
        maps=maps,
        warning=too_few_faults.warning(facts["config"], rows, struck),
    )


def read(table: pa.Table, config: Mapping[str, Any]) -> summary.FaultColumns:
    """Return the faults in INJECTIONS rows, with the clusters and strata of a campaign with these settings."""
    return summary.FaultColumns.read(table, clusters=clusters(config), strata=strata(config))


def clusters(config: Mapping[str, Any]) -> Literal["image", "fault"]:
    """Return what forms a cluster in a campaign with these settings, see `summary.FaultColumns`."""
    return "fault" if lasting(config) else "image"


def strata(config: Mapping[str, Any]) -> Literal["none", "bit"]:
    """Return what forms a stratum in a campaign with these settings, see `summary.FaultColumns`."""
    return "bit" if config.get("sampling") == "stratified" else "none"
