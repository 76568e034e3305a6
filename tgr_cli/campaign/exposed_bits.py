"""What a campaign says of failures in time: the bits it struck, how its faults are classified, what it leaves out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from tgr_cli.artifacts import store
from tgr_cli.artifacts.facts import lasting
from tgr_cli.artifacts.fault_facts import SINGLE, fault_model_of, pattern_of, strikes_scales
from tgr_cli.artifacts.provenance import Provenance
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.artifacts.store import Artifact
from tgr_cli.campaign import results
from tgr_cli.errors import TgrError
from tgr_cli.metrics.curves import COLUMNS as CONFIDENCES
from tgr_cli.metrics.estimates import among
from tgr_cli.metrics.failures_in_time import Classified

MACS = "macs"  # --exposure by work


@dataclass(frozen=True, kw_only=True)
class Monitors:
    """What detects dangerous faults, and when a fault that lasts is dangerous.

    `non_finite` says whether logits that are NaN or infinite are detected; predictions whose confidence `rerun_on` is
    below `rerun_below` are run again, which detects a transient fault. `once` counts a lasting fault once, as dangerous
    if any inference that it was tried on was. `duplicated` are channels by site, whose faults a comparison detects.
    Only faults on `images` count, if they are given: those on which a protection was not chosen.
    """

    non_finite: bool
    rerun_below: float | None
    rerun_on: str
    once: bool
    duplicated: Mapping[str, Sequence[int]] = field(default_factory=dict)
    images: frozenset[str] | None = None


@dataclass(frozen=True)
class ExposedBits:
    """A campaign's sites with the bits of each and the share of the time they are exposed [S], and its faults.

    `left_out` are sentences on what its rates do not contain.
    """

    name: str
    campaign: Artifact
    sites: list[dict]
    bits: list[int]
    exposure: np.ndarray
    struck: Classified
    left_out: list[str]


def read(name: str, path: Path, monitors: Monitors, exposure: float | None) -> ExposedBits:
    """Return the exposed bits of an `injections` artifact; `exposure` None is by share of multiply-accumulates.

    Raises TgrError for a campaign whose faults are not single upsets of any bit, each equally likely.
    """
    confidence = f"faulty_{CONFIDENCES[monitors.rerun_on]}"
    columns = (*results.COLUMNS, "image_weight", *([confidence] if monitors.rerun_below is not None else []))
    campaign = store.read(path, INJECTIONS, columns=columns)
    if monitors.images is not None:
        here_N = among(campaign.column("image_id"), np.array(sorted(monitors.images), object))
        campaign = replace(campaign, table=on_images(campaign.table, here_N))
    _refuse(path, campaign.provenance)
    faults = results.read(campaign.table, campaign.provenance.config)
    held, persists = set(faults.site.tolist()), lasting(campaign.provenance.config)
    if lacking := [site["site"] for site in campaign.fact("sites") if site["site"] not in held]:
        where = "" if monitors.images is None else f" on the {len(monitors.images)} images of the deployment"
        raise TgrError(
            f"{path} has no fault at {lacking[0]}{where}, so the rate of its bits is unknown; inject all sites"
            " with enough faults"
        )
    if persists and exposure is None:
        raise TgrError(f"--exposure is {MACS}, and {path} has faults in tensors, which stay in memory; give a share")
    if persists and monitors.rerun_below is not None:
        raise TgrError(
            f"--rerun-below detects faults that are gone in a second run, and those of {path} last; leave it out"
        )
    dangerous_N = np.isin(faults.outcome, ("sdc", "non_finite"))
    detected_N = (faults.outcome == "non_finite") & monitors.non_finite
    if monitors.rerun_below is not None:
        doubtful_N = np.nan_to_num(campaign.column(confidence), nan=1.0) < monitors.rerun_below
        detected_N |= (faults.outcome == "sdc") & doubtful_N
    if monitors.duplicated:
        detected_N |= dangerous_N & _in_duplicated(campaign, monitors.duplicated)
    sites = list(campaign.fact("sites"))
    monitored = monitors.non_finite or monitors.rerun_below is not None or bool(monitors.duplicated)
    struck = Classified(faults.draws([site["site"] for site in sites]), dangerous_N, detected_N, monitored)
    width = _width(campaign.provenance)
    work = max(sum(site["macs"] for site in sites), 1)
    return ExposedBits(
        name,
        campaign,
        sites,
        [site["neurons"] * width for site in sites],
        np.array([site["macs"] / work if exposure is None else exposure for site in sites]),
        struck.once_a_fault() if persists and monitors.once else struck,
        _left_out(campaign.provenance, sites, monitors, persists=persists),
    )


def on_images(table: pa.Table, kept_N: np.ndarray) -> pa.Table:
    """Return the injections on some images alone, weighted as a sample of these; `kept_N` marks them.

    Where images are not drawn alike, the chance of a site's draws to fall on these images is not their share of all
    images. Their mean image weight is the one over the other, so dividing by it corrects each site's weights.
    """
    site_N = table["site"].combine_chunks().dictionary_encode().indices.to_numpy()
    image_weight_N = table["image_weight"].to_numpy()
    sites = int(site_N.max(initial=0)) + 1
    draws_S, kept_S = np.bincount(site_N, minlength=sites), np.bincount(site_N[kept_N], minlength=sites)
    weighed_S = np.bincount(site_N, np.where(kept_N, image_weight_N, 0.0), sites)
    mean_N = (np.where(kept_S > 0, weighed_S, 1.0) / np.maximum(kept_S, 1))[site_N]
    changed = {
        "weight": table["weight"].to_numpy() / mean_N,
        "image_weight": image_weight_N / mean_N,
        "image_excess": table["image_excess"].to_numpy() * (draws_S / np.maximum(kept_S, 1))[site_N],
    }
    for name, values_N in changed.items():
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values_N))
    return table.filter(pa.array(kept_N))


def _in_duplicated(campaign: Artifact, duplicated: Mapping[str, Sequence[int]]) -> np.ndarray:
    """Return which faults struck a duplicated channel of their site, bool [N]: of C channels fault f strikes f % C."""
    maps, site_N, fault_N = campaign.fact("feature_maps"), campaign.column("site"), campaign.column("fault")
    inside_N = np.zeros(len(site_N), bool)
    for name, channels in duplicated.items():
        here_N = site_N == name
        inside_N[here_N] = np.isin(fault_N[here_N] % maps[name]["count"], list(channels))
    return inside_N


def _refuse(path: Path, campaign: Provenance) -> None:
    config, again = campaign.config, 'run "tgr inject" with --fault-model flip on single elements'
    found = ""
    if fault_model_of(campaign) != "flip":
        found = f"was injected with --fault-model {fault_model_of(campaign)}"
    elif pattern_of(campaign) != SINGLE:
        found = f"was injected with --pattern {pattern_of(campaign)}, which strikes several elements"
    elif strikes_scales(campaign):
        found = "was injected with --strike scale, whose words many values share"
    elif lasting(config) and config.get("target", "neuron") == "neuron":
        found = "was injected with --lasting, as permanent faults of a circuit are"
    elif config.get("sampling") == "list":
        found, again = "was injected from a list of faults, which stands for no population", "let it draw them"
    if found:
        raise TgrError(
            f"{path} {found}, and a rate per bit takes single flips of any bit, each equally likely; {again}"
        )


def _width(campaign: Provenance) -> int:
    """Return the number of bits of a struck word; earlier campaigns recorded its format's name alone."""
    recorded = campaign.extra.get("struck_format")
    if recorded is None:
        from tgr_cli.faults.formats import format_named  # imported here: it loads torch, which others do not need

        recorded = format_named(campaign.number_format).facts
    return int(recorded["width"])


def _left_out(campaign: Provenance, sites: Sequence[dict], monitors: Monitors, *, persists: bool) -> list[str]:
    config, ops = campaign.config, ", ".join(dict.fromkeys(site["op"] for site in sites))
    said = [
        f"Counted are the words struck ({ops}) alone: no other memory, no control logic, no interconnect, no datapath.",
        "Counted are upsets of single bits: no permanent faults, and no upsets of several bits.",
        "ECC and derating are taken to be within the raw rate as it is given.",
    ]
    if config.get("limit") in ("clamp", "zero"):
        said.append(f"Values are held to their ranges (--limit {config['limit']}): the device must do so, too.")
    if monitors.images is not None:
        said.append("Counted are the faults on the deployment images alone: protection was chosen from the others.")
    if not config.get("all_images"):
        said.append("Rates are of images that the model classifies correctly, of those that were struck.")
    if persists and monitors.once:
        said.append(
            f"A fault that stays counts once, as dangerous if one of the {config.get('images_per_fault', 'several')} "
            "inferences it was tried on is; over more inferences more may be."
        )
    elif persists:
        said.append("A fault that stays is judged by a single inference, as if memory were reloaded for each.")
    return said
