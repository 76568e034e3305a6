"""Checks of a campaign's settings against the network, made before profiling, classification or sampling."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import PLAN
from tgr_cli.campaign import identity
from tgr_cli.campaign.config import Config
from tgr_cli.errors import TgrError
from tgr_cli.faults.engines import ENGINES
from tgr_cli.faults.fault_models import Choices
from tgr_cli.faults.gradients import graph_of
from tgr_cli.faults.graph import Network
from tgr_cli.faults.network import AnyNetwork
from tgr_cli.faults.sampling import stratified


def refuse(config: Config, choices: Choices, network: AnyNetwork, facts: Mapping[str, Any]) -> None:
    """Raise TgrError if engine, sampling scheme or stored plan do not suit the network.

    `facts` are the metadata known so far, as fields of a provenance.
    """
    if config.exhaustive:
        if not isinstance(network, Network):
            raise TgrError(
                "--exhaustive needs the model's graph, and torch.export cannot trace the model; leave it out"
            )
        return
    ENGINES[config.engine].check(network)
    if config.plan:
        _refuse_plan(config, facts)
    elif config.faults is None and config.sampling == "importance":
        graph_of(network)
    elif config.faults is None and config.sampling == "stratified":
        _refuse_few(config, bits=choices.stratified().count)


def _refuse_plan(config: Config, facts: Mapping[str, Any]) -> None:
    assert config.plan is not None
    drawn = store.read(config.plan, PLAN, "tgr inject --plan-only").provenance
    ours = identity.identity({**facts, "config": identity.drawn_with(config)})
    identity.refuse_other(
        config.plan, drawn, {name: value for name, value in ours.items() if name not in identity.DRAWING}
    )
    for field in fields(Config):
        given, option = getattr(config, field.name), f"--{field.name.replace('_', '-')}"
        if field.name in identity.DRAWING and given not in (drawn.config.get(field.name), field.default):
            raise TgrError(f"{option} is {given}, but {config.plan} is drawn already; leave {option} out")


def _refuse_few(config: Config, *, bits: int) -> None:
    stratified.refuse_few(config.max_injections if config.precision else config.injections, bits=bits)
    if config.pilot < 2 * bits:
        raise TgrError(
            f"--pilot is {config.pilot}, too few for --sampling stratified, which needs 2 faults in each of {bits} "
            f"bits; use at least {2 * bits}"
        )
