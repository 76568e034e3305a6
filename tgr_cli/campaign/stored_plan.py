"""Plans as artifacts, so that resumed campaigns, shards and other engines run the same faults."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tgr_cli.artifacts import store
from tgr_cli.artifacts.facts import lasting
from tgr_cli.artifacts.provenance import Provenance, sha256_file
from tgr_cli.artifacts.schemas import PLAN
from tgr_cli.campaign import granularity
from tgr_cli.campaign.identity import drawn_with
from tgr_cli.campaign.prepared import PreparedCampaign, site_facts
from tgr_cli.errors import TgrError
from tgr_cli.faults import units
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sites import Site

AGAIN = f'draw it again with "{PLAN.command}"'
IMAGES_PER_UNIT = 256  # upper bound, so that units finish, and are stored, often enough


@dataclass(frozen=True)
class Planned:
    """A stored plan: its faults, the unit of each (int64 [F]), its provenance and its SHA-256."""

    faults: Plan
    unit_F: np.ndarray
    provenance: Provenance
    sha256: str

    @property
    def units(self) -> list[int]:
        """Return the units in running order."""
        return [int(unit) for unit in np.unique(self.unit_F)]

    @property
    def pilot(self) -> int:
        """Return the number of faults in the pilot behind the plan; 0 without a pilot."""
        return int(self.provenance.extra["pilot"])


def write(path: Path, setup: PreparedCampaign, faults: Plan, *, pilot: int = 0) -> Planned:
    """Store a plan and return it, divided into units that fit the memory of the setup's engine."""
    images = min(IMAGES_PER_UNIT, setup.engine.images_at_once)
    unit_F = units.units(faults, images)
    facts = setup.facts
    provenance = store.provenance_for(
        PLAN,
        config=drawn_with(setup.config),
        seed=None if setup.config.faults else setup.config.seed,
        **facts
        | {
            "extra": facts["extra"]
            | {"sites": [site_facts(s) for s in faults.sites], "images_per_unit": images, "pilot": pilot}
            | granularity.facts(setup.config, setup.network, faults.sites)
        },
    )
    columns = {
        "fault": faults.number_F,
        "site": np.array([site.name for site in faults.sites], object)[faults.site_F],
        "index": faults.indices(),
        "bit": setup.values.choices.bits(faults.choice_F),
        "choice": faults.choice_F,
        "footprint": faults.footprints,
        "image_id": np.array(setup.subject.images.ids, object)[faults.image_F],
        "weight": faults.weight_F,
        "image_weight": faults.image_weights,
        "image_excess": faults.image_excesses,
        "unit": unit_F,
    }
    store.write(path, PLAN, columns, provenance)
    return Planned(faults, unit_F, provenance, sha256_file(path))


def units_of_shards(path: Path, count: int) -> list[int]:
    """Return how many units each of `count` shards of a stored plan runs; the model is not needed."""
    plan = store.read(path, PLAN, columns=["unit"])
    _, shard_U = units.shards(plan.column("unit"), len(plan.fact("sites")), count)
    counts: list[int] = np.bincount(shard_U, minlength=count + 1)[1:].tolist()
    return counts


def read(path: Path, setup: PreparedCampaign) -> Planned:
    """Return a stored plan; raises TgrError if one of its sites or images does not exist."""
    artifact = store.read(path, PLAN)
    own = {site.name: site for site in setup.sites}
    sites = []
    for name in ("sites", "pilot"):
        if name not in artifact.provenance.extra:
            raise TgrError(f'{path} has no "{name}" in its metadata; draw it again with "{PLAN.command}"')
    for facts in artifact.provenance.extra["sites"]:
        site = own.get(facts["site"])
        if site is None or site_facts(site) != facts:
            raise TgrError(
                f"{path} has the site {facts['site']} with {facts['neurons']} neurons, the model has no such site; "
                "give the same model, --crop and --targets"
            )
        sites.append(site)
    table = artifact.table.combine_chunks()
    image_F = pc.index_in(table["image_id"], value_set=pa.array(setup.subject.images.ids))
    if image_F.null_count:
        name = table["image_id"].filter(pc.is_null(image_F))[0].as_py()
        raise TgrError(f'{path} strikes the image "{name}", which the data set lacks; check --dataset and --images')
    names = pa.array([site.name for site in sites], pa.string())
    position_F = pc.index_in(table["site"], value_set=names)
    if position_F.null_count:
        name = table["site"].filter(pc.is_null(position_F))[0].as_py()
        raise TgrError(f'{path} strikes the site "{name}", which it does not list; {AGAIN}')
    site_F = position_F.to_numpy()
    choices = setup.values.choices
    if (worst := pc.max(table["choice"]).as_py()) >= choices.count:
        raise TgrError(
            f"{path} has {choices.noun} {worst}, and {choices.model.name} in {choices.form.name} has 0 to "
            f"{choices.count - 1}; {AGAIN}"
        )
    faults = Plan(
        sites=tuple(sites),
        number_F=table["fault"].to_numpy(),
        site_F=site_F.astype(np.int64),
        image_F=image_F.to_numpy().astype(np.int64),
        element_F=_elements(path, table["index"], site_F, sites),
        choice_F=table["choice"].to_numpy(),
        weight_F=table["weight"].to_numpy(),
        lasting=lasting(artifact.provenance.config),
        footprint_F=table["footprint"].to_numpy(),
        image_weight_F=table["image_weight"].to_numpy(),
        image_excess_F=table["image_excess"].to_numpy(),
    )
    return Planned(faults, table["unit"].to_numpy(), artifact.provenance, artifact.sha256)


def _elements(path: Path, index: pa.ChunkedArray, site_F: np.ndarray, sites: list[Site]) -> np.ndarray:
    """Return the flat index of each fault's element; raises TgrError for an index outside its site."""
    lists = index.combine_chunks()
    numbers, starts_F = lists.values.to_numpy(), lists.offsets.to_numpy()[:-1]
    axes_F = pc.list_value_length(lists).to_numpy()
    element_F = np.zeros(len(site_F), np.int64)
    for number, site in enumerate(sites):
        chosen = np.flatnonzero(site_F == number)
        wrong = chosen[axes_F[chosen] != len(site.shape)]
        if not len(wrong):
            axes = numbers[starts_F[chosen][:, None] + np.arange(len(site.shape))]
            wrong = chosen[((axes < 0) | (axes >= np.array(site.shape, np.int64))).any(axis=1)]
        if len(wrong):
            raise TgrError(
                f"{path} has index {lists[int(wrong[0])].as_py()} in row {wrong[0]}, outside the shape "
                f"{list(site.shape)} of {site.name}; {AGAIN}"
            )
        if not site.shape:
            continue
        element_F[chosen] = np.ravel_multi_index(tuple(axes.T), site.shape)
    return element_F
