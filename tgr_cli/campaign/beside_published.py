"""The papers' figures beside those of a comparison."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tgr_cli.artifacts.provenance import Provenance
from tgr_cli.artifacts.run_names import parts_of
from tgr_cli.campaign.deviations import PRECISION, deviations, in_words
from tgr_cli.models.names import FROM_LIBRARIES
from tgr_cli.published import figures
from tgr_cli.published.figures import INIT, Published

PROTOCOL = "neurips"
RANDOM = "random"  # the papers' name of a head from random vectors, cosine
OTHER_NAMES = {reached: name for name, reached in FROM_LIBRARIES.items()}  # "timm:focalnet_tiny_srf": "focalnet_t"
ON = ("imagenet", INIT)  # what the families' means are over
# What is measured, and the published figure that it stands beside. The paper weights the two layers that end a
# text-guided model, and does not say how.
FIGURES = {
    "accuracy_baseline": ("accuracy_baseline", "accuracy of the baseline"),
    "accuracy_candidate": ("accuracy_candidate", "accuracy"),
    "top2diff": ("top2diff", "gain in Top2Diff"),
    "last_layer": ("last_layer", "mean dLoss, last layer"),
    "last_layer_by_neurons": ("last_layer", "mean dLoss, last two by neurons"),
    "last_layer_by_macs": ("last_layer", "mean dLoss, last two by MACs"),
    "overall": ("overall", "mean dLoss, mean over sites"),
}


@dataclass(frozen=True)
class BesidePublished:
    """Rows of measured and published figures, and what is to be known of them, in a sentence each.

    A row has `candidate`, `figure` (of FIGURES), `meaning`, `measured` with `low` and `high` (None: no interval),
    `published`, `source`, and `family_mean` of `family` (None: it is not among the models that the mean is over).
    """

    rows: list[dict[str, Any]]
    sentences: list[str]


def beside_published(campaigns: Mapping[str, Provenance], compared: Sequence[Mapping[str, Any]]) -> BesidePublished:
    """Return published figures beside the rows of `comparison` on the images of each model's own campaign.

    `campaigns` are those of the runs by name, the baseline's first; a candidate without a row is left out.
    """
    (baseline, theirs), *candidates = campaigns.items()
    own = {row["candidate"]: row for row in compared if row["images"] == "own"}
    rows, sentences = list[dict[str, Any]](), dict[str, None]()  # a dict: each sentence once, in order
    for candidate, ours in candidates:
        if candidate not in own:
            continue
        model, dataset, init, why = _asked(theirs, ours)
        found = [] if why else figures.published(model, dataset, init)
        if not found:
            why = why or f"{model} on {dataset} with a head from {init} is in none of their tables"
            sentences[f"{candidate} has no published figure: {why}"] = None
            continue
        rows += _rows(own[candidate], found)
        sentences |= dict.fromkeys(figures.disagreements(model, dataset, init))
        for name, campaign in ((baseline, theirs), (candidate, ours)):
            sentences |= dict.fromkeys(_otherwise(name, campaign))
    return BesidePublished(rows, list(sentences))


def _asked(baseline: Provenance, candidate: Provenance) -> tuple[str, str, str, str]:
    """Return the model, data set and initialisation to look up, and why nothing can be published on them, else ""."""
    names = [_model(each) for each in (baseline, candidate)]
    head, other = (
        parts_of(str(each.extra.get("run")), str(each.config.get("source", {}).get("model")))
        for each in (candidate, baseline)
    )
    dataset, init = str(candidate.extra.get("dataset")), INIT
    if head is not None:
        init = RANDOM if head.head == "cosine" else head.init or INIT
    why = ""
    if names[0] != names[1]:
        why = f"it is {names[1]}, and the baseline is {names[0]}; published are two heads on one network"
    elif head is None or other is None:
        why = "its run is named otherwise than tgr names runs, so its head is not known"
    elif head.head == "baseline" or other.head != "baseline":
        why = f"published are text heads against baselines, and this is a {head.head} head against a {other.head} one"
    elif head.variant or other.variant:
        why = f"it is the variant {head.variant}" if head.variant else f"the baseline is the variant {other.variant}"
    return names[1], dataset, init, why


def _model(campaign: Provenance) -> str:
    name = str(campaign.config.get("source", {}).get("model"))
    return OTHER_NAMES.get(name, name)


def _rows(measured: Mapping[str, Any], found: Sequence[Published]) -> Iterator[dict[str, Any]]:
    for name, (of, meaning) in FIGURES.items():
        value, low, high = _measured(measured, name)
        for each in found:
            published = getattr(each, of)
            if published is None:
                continue
            averaged = of in figures.FACTORS and (each.dataset, each.init) == ON
            family = figures.family_of(each.model) if averaged else None
            yield {
                "candidate": measured["candidate"],
                **{"figure": name, "meaning": meaning},
                **{"measured": value, "low": low, "high": high},
                **{"published": published, "source": each.source},
                "family": family and family.name,
                "family_mean": family and getattr(family, of),
            }


def _measured(row: Mapping[str, Any], name: str) -> tuple[float | None, float | None, float | None]:
    if name == "top2diff":
        ends = (row["top2diff_candidate"], row["top2diff_baseline"])
        return (None if None in ends else ends[0] - ends[1]), None, None
    return row[name], row.get(f"{name}_low"), row.get(f"{name}_high")


def _otherwise(run: str, campaign: Provenance) -> Iterator[str]:
    """Yield a sentence on the settings of a campaign that make its figures others than those that are published."""
    departing = deviations(campaign, PROTOCOL)
    departing = {name: values for name, values in departing.items() if name not in PRECISION}
    if departing:
        yield f"{run} was not injected as published, and its figures are of {in_words(departing)}"
