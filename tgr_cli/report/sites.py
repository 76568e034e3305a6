"""Alignment of the sites of several models."""

from collections.abc import Iterator, Mapping, Sequence

BACKBONE = "backbone."  # prefix of a text-guided model's sites, relative to the plain model's
LAST = "\0last"  # common key of the logits' sites, whatever their names
ALIKE = 0.5  # Jaccard similarity of site names from which two models are shown side by side


def keys(sites: Sequence[str]) -> list[str]:
    """Return the keys by which a model's sites are matched: names without backbone prefix, LAST for the last site."""
    return [site.removeprefix(BACKBONE) for site in sites[:-1]] + [LAST] * bool(sites)


def aligned(models: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    """Return the merged order of all models' sites as keys, and their labels.

    The models' last layers share one key, so that they are compared with each other; their label lists all names.
    """
    order: list[str] = []
    for sites in models:
        place = 0
        for key in keys(sites)[:-1]:
            if key in order:
                place = order.index(key) + 1
            else:
                order.insert(place, key)
                place += 1
    lasts = " / ".join(dict.fromkeys(sites[-1].removeprefix(BACKBONE) for sites in models if sites))
    return [*order, LAST], [*order, lasts]


def side_by_side(models: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Yield groups of models with similar sites, by comparing with the first model of each group."""
    left = dict(models)
    while left:
        first = set(keys(next(iter(left.values()))))
        group = [name for name, sites in left.items() if _alike(first, set(keys(sites)))]
        yield group
        left = {name: sites for name, sites in left.items() if name not in group}


def _alike(ours: set[str], theirs: set[str]) -> bool:
    return len(ours & theirs) >= ALIKE * len(ours | theirs)
