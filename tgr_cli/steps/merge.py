"""Merge the shards of a campaign into the artifacts that a single run would have written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tgr_cli.artifacts import store
from tgr_cli.artifacts.facts import lasting
from tgr_cli.artifacts.layout import RunFolder, formats_in_names, refuse_suffix
from tgr_cli.artifacts.parts import Parts
from tgr_cli.artifacts.provenance import flat
from tgr_cli.artifacts.schemas import INJECTIONS, SHARD
from tgr_cli.artifacts.shards import command_for, gather
from tgr_cli.artifacts.store import Artifact
from tgr_cli.campaign import results
from tgr_cli.campaign.config import rows_are
from tgr_cli.campaign.differences import differences
from tgr_cli.campaign.shard_rows import in_order, injections
from tgr_cli.errors import TgrError
from tgr_cli.reporting import SILENT, Reporter

OF_A_SHARD = ("shard", "units", "rows")  # facts that only a shard records


@dataclass(frozen=True, kw_only=True)
class Config:
    """The shards (files, folders of them, patterns), and the output path (None: the usual name, beside the first)."""

    shards: tuple[Path, ...]
    out: Path | None = None

    def __post_init__(self) -> None:
        refuse_suffix(self.out)


def run(config: Config, reporter: Reporter = SILENT) -> results.Written:
    """Return the whole campaign, written as `injections` and `vulnerability`.

    Raises TgrError where shards belong to different campaigns or plans, two contain the same unit, or one is missing;
    its message says which, and how to run it.
    """
    shards = [store.read(path, SHARD) for path in gather(config.shards)]
    for shard in shards:
        _refuse_bare(shard)
    first = shards[0]
    for other in shards[1:]:
        if differing := differences(_campaign(other), _campaign(first)):
            raise TgrError(
                f"{other.path} is of another campaign than {first.path}: {differing}; merge shards of one plan, "
                'as "tgr inject --plan-only" writes it'
            )
    _refuse_overlap(shards)
    table = in_order(pa.concat_tables([shard.table for shard in shards]))
    if table.num_rows != first.provenance.extra["rows"]:
        raise TgrError(f"{_missing(shards, table.num_rows)} and merge all of them")
    deployed = first.provenance.deployed_in
    whole = RunFolder(first.path.parent, first.provenance.config["target"], formats_in_names(*deployed)).injections
    output = store.prepare(config.out or whole, INJECTIONS.kind, config)
    others = results.beside(output, by_map="feature_maps" in first.provenance.extra)
    for path, schema in others:
        store.prepare(path, schema.kind, config)
    with Parts.beside(output, *(path for path, _ in others)):  # Hold the output's lock.
        return results.write(output, injections(table), _facts(shards, reporter))


def _campaign(shard: Artifact) -> dict[str, Any]:
    """Return the facts, by dotted names, that must be equal for shards of one campaign."""
    facts = shard.provenance
    extra = {name: value for name, value in facts.extra.items() if name != "shard"}
    config = {**facts.config, "lasting": lasting(facts.config)}
    return flat({**config, "seed": facts.seed, "model": facts.model, **facts.inputs, **extra})


def _refuse_overlap(shards: Sequence[Artifact]) -> None:
    owner: dict[int, Path] = {}
    for shard in shards:
        for unit in np.unique(shard.column("unit")).tolist():
            if unit in owner:
                raise TgrError(f"{shard.path} and {owner[unit]} both hold unit {unit}; leave one of them out")
            owner[unit] = shard.path


def _refuse_bare(shard: Artifact) -> None:
    """Raise TgrError if a shard lacks a fact that merging needs."""
    extra, config = shard.provenance.extra, shard.provenance.config
    of_shard = extra.get("shard") or []
    lacks = [name for name in ("shard", "rows", "sites", "run") if name not in extra]
    lacks += [name for name in ("target", "confidence", "limit") if name not in config]
    if lacks or len(of_shard) != 2 or not 1 <= of_shard[0] <= of_shard[1]:
        what = f"does not say its {lacks[0]}" if lacks else f"says it is shard {of_shard}"
        raise TgrError(f'{shard.path} {what}; run that shard again with "{SHARD.command}"')
    known = {site["site"] for site in extra["sites"]}
    if strangers := set(shard.table["site"].unique().to_pylist()) - known:
        raise TgrError(
            f'{shard.path} has faults at "{min(strangers)}", which its campaign has no site for; run it again'
        )


def _missing(shards: Sequence[Artifact], found: int) -> str:
    """Return what is missing, and how to make it."""
    extra = shards[0].provenance.extra
    have = {tuple(shard.provenance.extra["shard"]) for shard in shards}
    (_, count), counts = next(iter(have)), {count for _, count in have}
    lacking = f"{found:,} of {extra['rows']:,} {rows_are(lasting(shards[0].provenance.config))} are there"
    if len(counts) > 1:
        several = " and of ".join(f"{count:,}" for count in sorted(counts))
        return f"{lacking}, in shards of {several}, which divide a campaign differently; run the rest of one number"
    absent = [number for number in range(1, count + 1) if (number, count) not in have]
    if absent:
        names = ", ".join(f"{number}/{count}" for number in absent)
        lacking += f", shard{'s' if len(absent) > 1 else ''} {names} missing"
        command = command_for(shards[0].path, absent[0], count)
        return (
            f"{lacking}; run {'each' if len(absent) > 1 else 'it'} as {command}"
            if command
            else f"{lacking}; run the rest"
        )
    if empty := [str(shard.path) for shard in shards if not shard.table.num_rows]:
        lacking += f", and {', '.join(empty)} holds none"
    return f"{lacking}; run the rest"


def _facts(shards: Sequence[Artifact], reporter: Reporter) -> dict[str, Any]:
    of_first = shards[0].provenance
    versions = {
        name: sorted({shard.provenance.libraries.get(name, "absent") for shard in shards})
        for name in of_first.libraries
    }
    for name, found in versions.items():
        if len(found) > 1:
            reporter.note(
                f"the shards were run with {name} {' and '.join(found)}; the merged artifacts record all of them"
            )
    return {
        "config": of_first.config,
        "seed": of_first.seed,
        "libraries": {name: ", ".join(found) for name, found in versions.items()},
        "model": of_first.model,
        "classes": of_first.classes,
        "inputs": of_first.inputs,
        "extra": {name: value for name, value in of_first.extra.items() if name not in OF_A_SHARD},
    }
