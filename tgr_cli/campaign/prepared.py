"""A campaign prepared for sampling and running: model, images, network, range limit, engine and labels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from tgr_cli.artifacts.provenance import sha256_file, sha256_names
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.campaign import checks, granularity
from tgr_cli.campaign.config import Config
from tgr_cli.campaign.labelled import LabelledPool
from tgr_cli.campaign.struck_values import StruckValues, choices_of, format_of_values, struck_values, with_limit
from tgr_cli.campaign.subject import Subject
from tgr_cli.faults import fault_list
from tgr_cli.faults.engines import ENGINES, memory
from tgr_cli.faults.engines.engine import Engine
from tgr_cli.faults.fault_models import Choices
from tgr_cli.faults.network import AnyNetwork
from tgr_cli.faults.patterns import Pattern, pattern_of
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sites import Site
from tgr_cli.faults.unseen_work import unseen_work
from tgr_cli.metrics.outcomes import with_nulls
from tgr_cli.models.cost import widest_bytes
from tgr_cli.models.trial import refuse_scripted

LARGEST_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class PreparedCampaign:
    """Everything needed to sample a plan and run it; `listed` holds explicit faults, if given.

    `inputs` maps the role of each input file to its SHA-256.
    """

    config: Config
    subject: Subject
    network: AnyNetwork
    values: StruckValues
    engine: Engine
    labelled: LabelledPool
    listed: Plan | None
    inputs: Mapping[str, str]

    @classmethod
    def of(cls, config: Config, subject: Subject) -> "PreparedCampaign":
        """Return the campaign prepared on `subject`; missing ranges are profiled."""
        refuse_scripted(subject.loaded.model, subject.loaded.name)
        config, subject = with_batch_size(config, subject)
        choices = choices_of(config, subject)
        config = with_limit(config, choices, subject)
        pattern = pattern_of(config.pattern, config.pattern_file)
        rows = None
        if config.faults:
            words = {"form": choices.form.name, "strike": config.strike}
            if config.strike == "scale":
                words["scaled"] = format_of_values(config, subject).name
            rows = fault_list.read(config.faults, choices.model, pattern, **words, lasting=config.persists)
        network = subject.network(config.targets)
        if config.target == "neuron":
            tell_unseen_work(subject, network, config.targets)
        if left := network.left_out(config.target):
            subject.reporter.note(
                f"{len(left)} {config.target} tensors ({left[0].name}, …) are no integers, and are not struck"
            )
        _tell_unstruck(subject, network, config)
        checks.refuse(config, choices, network, facts_of(config, subject, network, choices, pattern))
        pattern.check({site.op for site in network.sites_of(config.target)})
        listed = None
        if rows is not None:
            sites, ids = network.sites_of(config.target), subject.images.ids
            listed = fault_list.plan(rows, sites, ids, choices=choices, pattern=pattern, lasting=config.persists)
        values = struck_values(config, subject, network, choices, pattern)
        engine = ENGINES[config.engine](
            subject.loaded.model, network, values.corruption, memory=memory.parsed(config.memory)
        )
        if engine.memory < (least := engine.working_bytes + engine.bytes_per_image):
            subject.reporter.note(
                f"--memory {config.memory} is less than the graph, a forward pass and one image take, about "
                f"{math.ceil(least / memory.UNITS['MiB']):,} MiB: images are taken one by one, and that much is used"
            )
        return cls(
            config=config,
            subject=subject,
            network=network,
            values=values,
            engine=engine,
            labelled=LabelledPool(subject, config.label, everything=config.all_images),
            listed=listed,
            inputs=dict(values.ranges.inputs) | ({"faults": sha256_file(config.faults)} if config.faults else {}),
        )

    @property
    def sites(self) -> tuple[Site, ...]:
        """Return the sites that are struck: operation calls, or tensors of one kind."""
        return granularity.struck_sites(self.config, self.network)

    @property
    def pattern(self) -> Pattern:
        """Return which elements a fault strikes."""
        return self.values.corruption.pattern

    @property
    def facts(self) -> dict[str, Any]:
        """Return the metadata for artifacts, as fields of a provenance."""
        facts = facts_of(self.config, self.subject, self.network, self.values.choices, self.pattern)
        extra = facts["extra"] | {"ranges": dict(self.values.ranges.profiled_on)}
        return {**facts, "inputs": dict(self.inputs), "extra": extra}

    def rows(self, faults: Plan, columns: Mapping[str, np.ndarray]) -> pa.Table:
        """Return INJECTIONS rows from faults and their results (the columns of `units.run`), in the same order."""
        whole: dict[str, Any] = with_nulls(
            {
                "fault": faults.number_F,
                "site": np.array([site.name for site in faults.sites], object)[faults.site_F],
                "index": faults.indices(),
                "bit": self.values.choices.bits(faults.choice_F),
                "choice": faults.choice_F,
                "footprint": faults.footprints,
                "image_id": np.array(self.subject.images.ids, object)[faults.image_F],
                "label": self.labelled.labels[faults.image_F],
                "weight": faults.weight_F,
                "image_weight": faults.image_weights,
                "image_excess": faults.image_excesses,
                **columns,
            }
        )
        return pa.table({name: whole[name] for name in INJECTIONS.arrow.names}, schema=INJECTIONS.arrow)


def _tell_unstruck(subject: Subject, network: AnyNetwork, config: Config) -> None:
    """Report the operations that get no faults because they have no feature maps."""
    struck = {site.name for site in granularity.struck_sites(config, network)}
    if left := [site.name for site in network.sites_of(config.target) if site.name not in struck]:
        subject.reporter.note(f"sites that are no convolutions get no faults: {', '.join(left)}")


def tell_unseen_work(subject: Subject, network: AnyNetwork, targets: str) -> None:
    """Report the share of the network's work outside its sites, and add it to the network's facts."""
    work = unseen_work(subject.loaded.model, network.input_shape, network.sites)
    network.facts = {**network.facts, **work.facts}
    if sentence := work.sentence(targets):
        subject.reporter.note(sentence)


def facts_of(
    config: Config, subject: Subject, network: AnyNetwork, choices: Choices, pattern: Pattern
) -> dict[str, Any]:
    """Return the metadata of a campaign without its inputs, as fields of a provenance."""
    return {
        "model": subject.loaded.fingerprint,
        "classes": sha256_names(subject.images.classes),
        "inputs": {},
        "extra": subject.facts
        | dict(network.facts)
        | {
            "pool": subject.pool,
            "fault_model": choices.model.name,
            "pattern": pattern.name,
            "struck_format": choices.form.facts,
            "macs": sum(site.macs for site in network.sites),
            "last_sites": _last_sites(network, subject.loaded.head, config),
        },
    }


def with_batch_size(config: Config, subject: Subject) -> tuple[Config, Subject]:
    """Return the settings, and the subject with them, with a batch size that suits --memory in place of 0."""
    if config.batch_size == 0:
        config = replace(config, batch_size=_batch_size(subject, memory.parsed(config.memory)))
        subject = replace(subject, settings=config)
    return config, subject


def _batch_size(subject: Subject, bytes_: int) -> int:
    """Return the batch size: a power of two, at most 32, whose activations take about a fifth of the memory."""
    widest = widest_bytes(subject.loaded.model, subject.loaded.preprocessing.input_shape)
    return int(2 ** math.floor(math.log2(min(max(bytes_ / 5 / max(widest, 1), 1), LARGEST_BATCH))))


def site_facts(site: Site) -> dict[str, Any]:
    """Return the metadata of a site, from which `vulnerability` can be computed without the model."""
    return {"site": site.name} | {name: getattr(site, name) for name in ("op", "per_image", "neurons", "macs")}


def _last_sites(network: AnyNetwork, head: str, config: Config) -> list[str]:
    """Return the sites of the last layer, the logits' own first: two if a projection follows the backbone's last.

    Empty for tensors, and if convolutions or linear layers are not targets, since the last layer may be among them.
    """
    if config.target != "neuron" or "conv" not in config.targets or "linear" not in config.targets:
        return []
    names = [site.name for site in network.sites if site.op != "matmul"]
    return names[:-2:-1] if head == "baseline" else names[:-3:-1]
