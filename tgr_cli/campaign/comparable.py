"""The differences between two campaigns, and which of them prevent a comparison.

A difference is refused if it changes the faults or how their outcomes are judged: an improvement factor would then
measure the settings rather than the models. `--allow-different` permits such a difference, for example to study that
setting. Other differences, which leave the estimand unchanged or belong to a model, are only reported.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tgr_cli import defaults
from tgr_cli.artifacts.provenance import Provenance
from tgr_cli.errors import TgrError, one_of

UNKNOWN = "images that are not recorded"
UNKNOWN_FORMAT = "a number format that is not recorded"
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

    `read` returns the values of both campaigns as text, or None if the property does not apply.
    """

    verb: str
    read: Callable[[Provenance, Provenance], tuple[str, str] | None]
    refused: bool = True


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
        known = not {UNKNOWN, UNKNOWN_FORMAT} & set(values)
        refused = aspect.refused and known and name not in allowed
        found.append(Difference(name, baseline, candidate, values[0], values[1], sentence, refused))
    return found


def refuse(found: Sequence[Difference]) -> None:
    """Raise TgrError if any difference is refused."""
    if refused := [each for each in found if each.refused]:
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


def _format(theirs: Provenance, ours: Provenance) -> tuple[str, str]:
    first, second = (
        str(each.extra.get("format") or UNKNOWN_FORMAT)
        + (f" and weights in {stored}" if (stored := each.extra.get("weight_format")) else "")
        for each in (theirs, ours)
    )
    return first, second


def _profiled(theirs: Provenance, ours: Provenance) -> tuple[str, str] | None:
    """Return the images that the range limits were profiled on; None if a campaign has no profiled limits."""
    if any(c.config.get("limit") == "none" or c.config.get("target", "neuron") != "neuron" for c in (theirs, ours)):
        return None
    return _images(theirs.extra.get("ranges") or {}, ours.extra.get("ranges") or {}, UNKNOWN)


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
    "limit": _Aspect("was injected with --limit", _setting("limit")),
    "ranges": _Aspect("was limited to ranges of", _profiled),
    "format": _Aspect("was injected with values in", _format),
    "fault-model": _Aspect("was injected with --fault-model", _setting("fault_model", defaults.FAULT_MODEL)),
    "pattern": _Aspect("was injected with --pattern", _setting("pattern", defaults.PATTERN)),
    "targets": _Aspect("was injected with --targets", _setting("targets")),
    "label": _Aspect("was injected with --label", _setting("label")),
    "all-images": _Aspect("was injected with --all-images", _setting("all_images")),
    "images": _Aspect("was injected on", _struck, refused=False),
    "sampling": _Aspect("was injected with --sampling", _setting("sampling"), refused=False),
    "engine": _Aspect("was injected with --engine", _setting("engine"), refused=False),
    "preprocessing": _Aspect("was injected with images prepared with", _prepared, refused=False),
}
MAY_DIFFER = tuple(name for name, aspect in ASPECTS.items() if aspect.refused)
