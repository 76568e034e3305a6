"""Figures that papers published, by model, data set and initialisation of a text head."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

FILE = Path(__file__).with_name("figures.toml")
TABLE_1 = "table1"  # the families' means are over this table
INIT = "descriptions"  # and over this initialisation
ROUNDING = 0.01  # by which a mean of figures with two decimals and one of exact figures may differ
FACTORS = {"last_layer": "factor of the last layer", "overall": "overall factor"}


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published result: factors baseline / text-guided, accuracies as shares, and the gain in Top2Diff.

    `source` says where it stands. None: the source does not have the figure.
    """

    source: str
    model: str
    dataset: str
    init: str
    last_layer: float
    overall: float
    top2diff: float | None = None
    accuracy_baseline: float | None = None
    accuracy_candidate: float | None = None


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of models: the means of their published factors on ImageNet, and those that the paper's text says."""

    name: str
    models: Sequence[str]
    last_layer: float
    overall: float
    said_last_layer: float | None = None
    said_overall: float | None = None


def published(model: str, dataset: str, init: str) -> list[Published]:
    """Return the published results of a text-guided model, in the order of their sources; empty if there is none."""
    return [each for each in _rows() if (each.model, each.dataset, each.init) == (model, dataset, init)]


def family_of(model: str) -> Family | None:
    """Return the family of a model; None if the papers have none with it."""
    return next((family for family in _families() if model in family.models), None)


def disagreements(model: str, dataset: str, init: str) -> Iterator[str]:
    """Yield a sentence for each way in which the published figures of a model, or of its family, contradict others."""
    found = published(model, dataset, init)
    for name, meaning in FACTORS.items():
        if len({getattr(each, name) for each in found}) > 1:
            values = ", ".join(f"{getattr(each, name):.2f} ({each.source})" for each in found)
            yield f"Published figures disagree on the {meaning} of {model}: {values}"
    family = family_of(model) if dataset == "imagenet" else None
    if family is None:
        return
    for name, meaning in FACTORS.items():
        said, averaged = (getattr(family, f"{before}{name}") for before in ("said_", ""))
        if said is not None and abs(said - averaged) > ROUNDING:
            yield (
                f"Published figures disagree on the {meaning}, mean over the {family.name} family: {said:.2f} (NeurIPS "
                f"2023, section 6), {averaged:.2f} (the mean of its rows in Table 1)"
            )


@cache
def _content() -> Mapping[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


@cache
def _rows() -> tuple[Published, ...]:
    sources = _content()["sources"]
    return tuple(Published(**{**row, "source": sources[row["source"]]}) for row in _content()["rows"])


@cache
def _families() -> tuple[Family, ...]:
    table = _content()["sources"][TABLE_1]
    rows = {each.model: each for each in _rows() if each.source == table and each.init == INIT}
    return tuple(
        Family(
            name=name,
            **facts,
            **{factor: mean(getattr(rows[model], factor) for model in facts["models"]) for factor in FACTORS},
        )
        for name, facts in _content()["families"].items()
    )
