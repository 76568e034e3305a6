"""In what two campaigns differ that makes their figures comparable, and which of it a comparison refuses.

Refused is what changes the faults themselves or how they are judged: a factor would then tell of the settings, not of
the models. `--allow-different` names what may differ all the same, as when the setting is what is studied. What leaves
the figures estimates of the same thing, or belongs to a model, is only told.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tgr_cli.artifacts.provenance import Provenance
from tgr_cli.errors import TgrError, one_of

NATIVE = "float32"  # the format of campaigns that were run before it was recorded
UNKNOWN = "images that are not recorded"


@dataclass(frozen=True)
class Difference:
    """One thing that the campaign of `candidate` has otherwise than that of `baseline`, and the sentence that says so.

    `refused`: no factor compares the two, unless the user allows it by this `name`.
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
    """Something campaigns may differ in: the verb of its sentence, and how it is read as a value to tell.

    `read` gives the values of both, equal where there is no difference, or None where the aspect says nothing of them.
    """

    verb: str
    read: Callable[[Provenance, Provenance], tuple[str, str] | None]
    refused: bool = True


def check(allowed: Sequence[str]) -> None:
    """Raise TgrError where one of the names is nothing that may be allowed to differ."""
    for name in allowed:
        one_of("--allow-different", name, MAY_DIFFER)


def differences(
    baseline: str, theirs: Provenance, candidate: str, ours: Provenance, allowed: Sequence[str] = ()
) -> list[Difference]:
    """Return in what two runs' `injections` (or `vulnerability`) differ, by their provenances, in a fixed order."""
    found = []
    for name, aspect in ASPECTS.items():
        values = aspect.read(theirs, ours)
        if values is None or values[0] == values[1]:
            continue
        sentence = f"{candidate} {aspect.verb} {values[1]}, {baseline} {_rest(aspect.verb)} {values[0]}"
        refused = aspect.refused and UNKNOWN not in values and name not in allowed
        found.append(Difference(name, baseline, candidate, values[0], values[1], sentence, refused))
    return found


def refuse(found: Sequence[Difference]) -> None:
    """Raise TgrError where any of the differences is refused."""
    if refused := [each for each in found if each.refused]:
        options = " ".join(f"--allow-different {each.name}" for each in refused)
        raise TgrError(
            f'{"; ".join(each.sentence for each in refused)}: a factor would tell of that, too. Run "tgr inject" on '
            f"both alike, or compare them all the same with {options}"
        )


def _rest(verb: str) -> str:
    """Return how a sentence goes on: "was injected with --limit" with "with"."""
    return verb.partition(" ")[2].split()[1] if verb.startswith("was") else verb


def _setting(name: str) -> Callable[[Provenance, Provenance], tuple[str, str] | None]:
    """Return how a campaign's own setting is read."""
    return lambda theirs, ours: (str(theirs.config.get(name)), str(ours.config.get(name)))


def _format(theirs: Provenance, ours: Provenance) -> tuple[str, str]:
    first, second = (str(each.extra.get("format") or each.config.get("format") or NATIVE) for each in (theirs, ours))
    return first, second


def _profiled(theirs: Provenance, ours: Provenance) -> tuple[str, str] | None:
    """Read which images the range limits rest on; where neither rests on any, there is nothing to tell."""
    if any(c.config.get("limit") == "none" or c.config.get("target", "neuron") != "neuron" for c in (theirs, ours)):
        return None
    return _images(theirs.extra.get("ranges") or {}, ours.extra.get("ranges") or {}, UNKNOWN)


def _struck(theirs: Provenance, ours: Provenance) -> tuple[str, str]:
    first, second = ({"images": each.config.get("images"), **each.extra} for each in (theirs, ours))
    return _images(first, second, "all images")


def _images(first: Mapping[str, Any], second: Mapping[str, Any], missing: str) -> tuple[str, str]:
    """Return two sets of images in words: how many of what. Equal where their digests are, or else their words.

    Sets of one number and place with other digests are told apart by these.
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
    "targets": _Aspect("was injected with --targets", _setting("targets")),
    "label": _Aspect("was injected with --label", _setting("label")),
    "all-images": _Aspect("was injected with --all-images", _setting("all_images")),
    "images": _Aspect("was injected on", _struck, refused=False),
    "sampling": _Aspect("was injected with --sampling", _setting("sampling"), refused=False),
    "engine": _Aspect("was injected with --engine", _setting("engine"), refused=False),
    "preprocessing": _Aspect("was injected with images prepared with", _prepared, refused=False),
}
MAY_DIFFER = tuple(name for name, aspect in ASPECTS.items() if aspect.refused)
