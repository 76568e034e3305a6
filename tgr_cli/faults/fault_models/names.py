"""Fault models by name, as `flip`, `burst:length=3`, or a TOML file with a mixture."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from tgr_cli import documents
from tgr_cli.errors import TgrError, found_at, one_of
from tgr_cli.faults.fault_models.burst import Burst
from tgr_cli.faults.fault_models.fault_model import FaultModel
from tgr_cli.faults.fault_models.flip import Flip, FlipSeveral
from tgr_cli.faults.fault_models.mixture import MIXTURE, Mixture
from tgr_cli.faults.fault_models.replacement import RandomValue, RandomWord, Zero
from tgr_cli.faults.fault_models.stuck import Stuck

OPTION = "--fault-model"
DIGITS = 9  # of a number of bits
Settings = Mapping[str, str]


def fault_model_named(text: str) -> FaultModel:
    """Return the fault model of this name, or of the TOML file of this name; raises TgrError for any other text.

    >>> fault_model_named("burst:length=3").name
    'burst:length=3'
    >>> fault_model_named("flip:field=exponent")
    Flip(bit=None, field='exponent')
    """
    if _is_file(text):
        return _mixture(Path(text))
    name, _, rest = text.partition(":")
    one_of("--fault-model", name, MODELS)
    settings = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not value:
            raise TgrError(f'{OPTION} is "{text}"; write settings as name:key=value, such as burst:length=2')
        if (key := key.strip()) in settings:
            raise TgrError(f'{OPTION} is "{text}", with {key} twice; give it once')
        settings[key] = value.strip()
    return MODELS[name](text, settings)


def _flip(text: str, settings: Settings) -> FaultModel:
    _refuse_other(text, settings, ("bit", "bits", "field"))
    if len(settings) > 1:
        raise TgrError(f'{OPTION} is "{text}", which says twice what flips; give one of bit, bits, field')
    if "bits" in settings:
        count = _number(text, settings, "bits", least=1)
        return Flip() if count == 1 else FlipSeveral(count)
    if "bit" in settings:
        return Flip(bit=_number(text, settings, "bit", least=0))
    return Flip(field=settings.get("field"))


def _burst(text: str, settings: Settings) -> FaultModel:
    _refuse_other(text, settings, ("length",))
    return Burst(_number(text, settings, "length", least=2) if settings else Burst.length)


def _stuck(text: str, settings: Settings) -> FaultModel:
    _refuse_other(text, settings, ("at",))
    if settings.get("at") not in ("0", "1"):
        raise TgrError(f'{OPTION} is "{text}"; a bit is stuck at 0 or at 1: write stuck:at=0 or stuck:at=1')
    return Stuck(int(settings["at"]))


def _plain(model: type[RandomWord] | type[RandomValue] | type[Zero]) -> Callable[[str, Settings], FaultModel]:
    def made(text: str, settings: Settings) -> FaultModel:
        _refuse_other(text, settings, ())
        return model()

    return made


MODELS: Mapping[str, Callable[[str, Settings], FaultModel]] = {
    "flip": _flip,
    "burst": _burst,
    "stuck": _stuck,
    "random": _plain(RandomWord),
    "random-value": _plain(RandomValue),
    "zero": _plain(Zero),
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
        if _is_file(name):
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


def _is_file(text: str) -> bool:
    return Path(text).suffix.lower() == ".toml"


def _refuse_other(text: str, settings: Settings, known: tuple[str, ...]) -> None:
    for key in settings:
        if key not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes no settings"
            raise TgrError(f'{OPTION} is "{text}", and {text.partition(":")[0]} has no "{key}"; {takes}')


def _number(text: str, settings: Settings, key: str, *, least: int) -> int:
    value = settings[key]
    if not (value.isascii() and value.isdecimal()) or len(value) > DIGITS or int(value) < least:
        raise TgrError(f'{OPTION} is "{text}"; {key} is a whole number from {least} on')
    return int(value)
