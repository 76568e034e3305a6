"""The differences between two campaigns, and which of them prevent a comparison.

A difference is refused if it changes the faults or how their outcomes are judged: an improvement factor would then
measure the settings rather than the models. `--allow-different` permits such a difference, for example to study that
setting. Other differences, which leave the estimand unchanged or belong to a model, are only reported.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tgr_cli import defaults
from tgr_cli.artifacts.facts import lasting
from tgr_cli.artifacts.fault_facts import UNKNOWN_FORMAT, formats_in_words, struck_format_of
from tgr_cli.artifacts.provenance import Provenance
from tgr_cli.errors import TgrError, one_of

UNKNOWN = "images that are not recorded"
PROFILED_ON = ("dataset", "used", "images", "pool")  # metadata of ranges that identifies the images


def profiled_on(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of the profiled images from the metadata of a `ranges` artifact."""
    return {name: facts[name] for name in PROFILED_ON if name in facts}


@dataclass(frozen=True)
class Difference:
    """One difference between the campaigns of `baseline` and `candidate`, with a sentence that states it.

    If `refused`, the two are not compared, unless the user allows the difference by its `name`.
    """

    name: str
    baseline: str
    candidate: str
    of_baseline: str
    of_candidate: str
    sentence: str
    refused: bool


@dataclass(frozen=True)
class _Aspect:
    """A property in which campaigns may differ: the verb of its sentence, and a function that reads its values.

    `read` returns the values of both campaigns as text, or None if the property does not apply. `excused` returns why
    a difference is not refused between these two, None if it is; `may_be_allowed` says whether the user may allow it.
    """

    verb: str
    read: Callable[[Provenance, Provenance], tuple[str, str] | None]
    refused: bool = True
    may_be_allowed: bool = True
    excused: Callable[[Provenance, Provenance], str | None] = lambda theirs, ours: None


def check(allowed: Sequence[str]) -> None:
    """Raise TgrError for a name that is not in MAY_DIFFER."""
    for name in allowed:
        one_of("--allow-different", name, MAY_DIFFER)


def differences(
    baseline: str, theirs: Provenance, candidate: str, ours: Provenance, allowed: Sequence[str] = ()
) -> list[Difference]:
    """Return the differences between the `injections` (or `vulnerability`) of two runs, in a fixed order."""
    found = []
    for name, aspect in ASPECTS.items():
        values = aspect.read(theirs, ours)
        if values is None or values[0] == values[1]:
            continue
        sentence = f"{candidate} {aspect.verb} {values[1]}, {baseline} {_rest(aspect.verb)} {values[0]}"
        if excuse := aspect.excused(theirs, ours):
            sentence += f" ({excuse})"
        known = not {UNKNOWN, UNKNOWN_FORMAT} & set(values)
        refused = aspect.refused and known and not excuse and name not in allowed
        found.append(Difference(name, baseline, candidate, values[0], values[1], sentence, refused))
    return found


def separating(theirs: Provenance, ours: Provenance) -> dict[str, tuple[str, str]]:
    """Return the settings in which campaigns differ so that a factor between any two models would measure them, too.

    Both values are by the setting's name. Nothing excuses a difference here, as that the two are of one model.
    """
    found = {name: aspect.read(theirs, ours) for name, aspect in ASPECTS.items() if aspect.refused}
    return {
        name: values
        for name, values in found.items()
        if values and values[0] != values[1] and not {UNKNOWN, UNKNOWN_FORMAT} & set(values)
    }


def refuse(found: Sequence[Difference]) -> None:
    """Raise TgrError if any difference is refused."""
    refused = [each for each in found if each.refused]
    for each in refused:
        if each.name not in MAY_DIFFER:
            raise TgrError(
                f'{each.sentence}, which cannot be compared; run "tgr inject" on both with the same --{each.name}'
            )
    if refused:
        options = " ".join(f"--allow-different {each.name}" for each in refused)
        raise TgrError(
            f"{'; '.join(each.sentence for each in refused)}: a factor would measure that, too. Run "
            f'"tgr inject" on both with the same settings, or compare them nevertheless with {options}'
        )


def _rest(verb: str) -> str:
    """Return the second half of the verb: "with" for "was injected with --limit"."""
    return verb.partition(" ")[2].split()[1] if verb.startswith("was") else verb


def _setting(name: str, unrecorded: str | None = None) -> Callable[[Provenance, Provenance], tuple[str, str] | None]:
    """Return a reader of a campaign setting; `unrecorded` is what campaigns did that do not record it."""
    return lambda theirs, ours: (str(theirs.config.get(name, unrecorded)), str(ours.config.get(name, unrecorded)))


def _target(theirs: Provenance, ours: Provenance) -> tuple[str, str]:
    first, second = (str(each.config.get("target", "neuron")) for each in (theirs, ours))
    return first, second


def _lasting(theirs: Provenance, ours: Provenance) -> tuple[str, str] | None:
    if len(set(_target(theirs, ours))) > 1:  # which says it already
        return None
    first, second = (str(lasting(each.config)) for each in (theirs, ours))
    return first, second


def _format(theirs: Provenance, ours: Provenance) -> tuple[str, str]:
    first, second = (formats_in_words(each) for each in (theirs, ours))
    return first, second


def _one_model(theirs: Provenance, ours: Provenance) -> str | None:
    alike = theirs.model is not None and theirs.model == ours.model
    return "one model in two formats, which the factors compare" if alike else None


def _bounded(theirs: Provenance, ours: Provenance) -> str | None:
    """Return why different limits are not refused: one format holds nothing beyond its range, and the other does."""
    limits = {str(each.config.get("limit")) for each in (theirs, ours)}
    if struck_format_of(theirs) == struck_format_of(ours) or limits not in ({"format", "clamp"}, {"format", "none"}):
        return None
    return "format: the number format itself holds nothing beyond its range"


def _profiled(theirs: Provenance, ours: Provenance) -> tuple[str, str] | None:
    """Return the images that bound the values: those of the range limits, or those that a bounded format was fitted to.

    None if the values of a campaign have no such bounds.
    """
    if any(c.config.get("limit") == "none" or c.config.get("target", "neuron") != "neuron" for c in (theirs, ours)):
        return None
    first, second = (c.extra.get("ranges") or c.extra.get("calibration") or {} for c in (theirs, ours))
    return _images(first, second, UNKNOWN)


def _struck(theirs: Provenance, ours: Provenance) -> tuple[str, str]:
    first, second = ({"images": each.config.get("images"), **each.extra} for each in (theirs, ours))
    return _images(first, second, "all images")


def _images(first: Mapping[str, Any], second: Mapping[str, Any], missing: str) -> tuple[str, str]:
    """Return descriptions of two sets of images, which are equal if and only if the sets are.

    Sets are compared by digest, or by description where a digest is missing. Different sets of the same size and source
    have their digests appended.
    """
    one, other = (_in_words(facts, missing) for facts in (first, second))
    ours, theirs = (str(facts.get("pool", "")) for facts in (first, second))
    if not ours or not theirs:
        return one, other
    if ours == theirs:
        return one, one
    if one == other:
        return f"{one} (digest {ours[:12]})", f"{other} (digest {theirs[:12]})"
    return one, other


def _in_words(facts: Mapping[str, Any], missing: str) -> str:
    if facts.get("images") is None:
        return missing
    number = facts["images"]
    place = facts.get("used") or facts.get("dataset")
    return f"{number:,} images" + (f" of {place}" if place else "")


def _prepared(theirs: Provenance, ours: Provenance) -> tuple[str, str]:
    values = [each.extra.get("preprocessing") or {} for each in (theirs, ours)]
    names = [name for name in {**values[0], **values[1]} if values[0].get(name) != values[1].get(name)]
    first, second = (", ".join(f"{name} {each.get(name)}" for name in names) for each in values)
    return first, second


ASPECTS: Mapping[str, _Aspect] = {
    "target": _Aspect("was injected with --target", _target, may_be_allowed=False),
    "lasting": _Aspect("was injected with --lasting", _lasting, may_be_allowed=False),
    "limit": _Aspect("was injected with --limit", _setting("limit"), excused=_bounded),
    "ranges": _Aspect("was limited to ranges of", _profiled),
    "format": _Aspect("was injected with values in", _format, excused=_one_model),
    "fault-model": _Aspect("was injected with --fault-model", _setting("fault_model", defaults.FAULT_MODEL)),
    "strike": _Aspect("was injected with --strike", _setting("strike", defaults.STRIKE)),
    "granularity": _Aspect("was injected with --granularity", _setting("granularity", defaults.GRANULARITY)),
    "pattern": _Aspect("was injected with --pattern", _setting("pattern", defaults.PATTERN)),
    "targets": _Aspect("was injected with --targets", _setting("targets")),
    "label": _Aspect("was injected with --label", _setting("label")),
    "all-images": _Aspect("was injected with --all-images", _setting("all_images")),
    "images": _Aspect("was injected on", _struck, refused=False),
    "sampling": _Aspect("was injected with --sampling", _setting("sampling"), refused=False),
    "engine": _Aspect("was injected with --engine", _setting("engine"), refused=False),
    "preprocessing": _Aspect("was injected with images prepared with", _prepared, refused=False),
}
MAY_DIFFER = tuple(name for name, aspect in ASPECTS.items() if aspect.refused and aspect.may_be_allowed)
