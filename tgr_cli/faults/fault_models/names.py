"""Fault models by name, as `flip`, `burst:length=3`, or a TOML file with a mixture."""

import math
from collections.abc import Mapping
from pathlib import Path

from tgr_cli import documents
from tgr_cli.errors import TgrError, found_at
from tgr_cli.faults.fault_models.burst import Burst
from tgr_cli.faults.fault_models.fault_model import FaultModel
from tgr_cli.faults.fault_models.flip import Flip, FlipSeveral
from tgr_cli.faults.fault_models.mixture import MIXTURE, Mixture
from tgr_cli.faults.fault_models.replacement import RandomValue, RandomWord, Zero
from tgr_cli.faults.fault_models.stuck import Stuck
from tgr_cli.faults.grammar import Count, Entry, UnsuitableOptionsError, Word
from tgr_cli.faults.option_names import is_file, known_fault_model
from tgr_cli.paths import place

WIDEST = 64  # bits of a word


def fault_model_named(text: str) -> FaultModel:
    """Return the fault model of this name, or of the TOML file of this name; raises TgrError for any other text.

    >>> fault_model_named("burst:length=3").name
    'burst:length=3'
    >>> fault_model_named("flip:field=exponent")
    Flip(bit=None, field='exponent')
    """
    if is_file(text):
        return _mixture(place(text))
    name, rest = known_fault_model(text)
    entry, found = MODELS[name], f'--fault-model is "{text}"'
    values = entry.parsed(name, rest, found)
    try:
        model: FaultModel = entry.make(name=name, **values)
    except UnsuitableOptionsError as error:
        raise TgrError(f"{found}, {error}") from error
    return model


def _flip(name: str, bit: int | None, bits: int | None, field: str | None) -> FaultModel:
    if sum(given is not None for given in (bit, bits, field)) > 1:
        raise UnsuitableOptionsError("which says twice what flips; give one of bit, bits, field")
    return FlipSeveral(bits) if bits and bits > 1 else Flip(bit, field)


MODELS: Mapping[str, Entry] = {
    "flip": Entry(_flip, {"bit": Count(0, WIDEST - 1), "bits": Count(1, WIDEST), "field": Word()}),
    "burst": Entry(lambda name, length: Burst(length), {"length": Count(2, WIDEST, default=Burst.length)}),
    "stuck": Entry(lambda name, at: Stuck(at), {"at": Count(0, 1, example=1)}),
    "random": Entry(RandomWord),
    "random-value": Entry(RandomValue),
    "zero": Entry(Zero),
}


def _mixture(path: Path) -> FaultModel:
    """Return the mixture of a file whose table `mixture` maps fault models to their weights."""
    if not path.is_file():
        raise TgrError(f"{path} {found_at(path)}; name a fault model ({', '.join(MODELS)}) or a TOML file of one")
    example = 'write a table [mixture] with lines as "burst:length=2" = 0.3'
    content = documents.read_toml(path, example)
    table = content.pop("mixture", None)
    if not isinstance(table, dict) or not table:
        raise TgrError(f"{path} holds no mixture of fault models; {example}")
    if content:
        raise TgrError(f'{path} sets "{next(iter(content))}" beside its mixture, which nothing reads; remove it')
    for name, weight in table.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or weight <= 0:
            raise TgrError(f'{path} gives "{name}" the weight {weight}; weights are numbers above 0')
        if is_file(name):
            raise TgrError(f'{path} names the file "{name}"; a mixture is of fault models: write its models here')
    if not math.isfinite(total := sum(table.values())):
        raise TgrError(f"{path} gives weights that add up to {total}; divide them all by a large number")
    shares = tuple(weight / total for weight in table.values())
    try:
        models = tuple(fault_model_named(name) for name in table)
    except TgrError as error:
        raise TgrError(f"{path}: {error}") from error
    described = ", ".join(f"{share!r} {model.name}" for share, model in zip(shares, models, strict=True))
    return Mixture(f"{MIXTURE}{described}", models, shares)
