"""Sites of several models in one order, and which of them correspond."""

from collections.abc import Iterator, Mapping, Sequence

BACKBONE = "backbone."  # what a text-guided model's sites have before the name they bear in the plain one
LAST = "\0last"  # the key of the site that gives the logits, whatever its name
ALIKE = 0.5  # share of common sites from which two models are shown side by side


def keys(sites: Sequence[str]) -> list[str]:
    """Return what each of a model's sites is told by: its name without the backbone's, the last by being the last."""
    return [site.removeprefix(BACKBONE) for site in sites[:-1]] + [LAST] * bool(sites)


def aligned(models: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    """Return the keys of all models' sites, each after the one it follows in its model, and their labels.

    The last layers of all models share one key, so that like stands against like: their label names each.
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
    """Give the names of models whose sites correspond to those of the first of them, group by group."""
    left = dict(models)
    while left:
        first = set(keys(next(iter(left.values()))))
        group = [name for name, sites in left.items() if _alike(first, set(keys(sites)))]
        yield group
        left = {name: sites for name, sites in left.items() if name not in group}


def _alike(ours: set[str], theirs: set[str]) -> bool:
    return len(ours & theirs) >= ALIKE * len(ours | theirs)
