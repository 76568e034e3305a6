"""What to look at first in descriptions and in embeddings: what is missing, what is alike."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tgr_cli.artifacts.provenance import sha256_names
from tgr_cli.text.initialise import closest

SHOWN = 5  # pairs, classes, texts


class Pair(NamedTuple):
    """Two classes by name, the cosine of their embeddings, and their indices (names may be equal)."""

    first: str
    second: str
    cosine: float
    first_index: int
    second_index: int


class Spread(NamedTuple):
    """A class, how many texts it has, and the mean cosine between them and their class's embedding."""

    class_name: str
    class_index: int
    texts: int
    spread: float


@dataclass(frozen=True, kw_only=True)
class EmbeddingsDigest:
    """Class embeddings at a glance. `spread` is the mean over classes, None where no texts were averaged.

    `spreads` has a line for each class with texts, those that agree least first; `closest` the pairs of classes of the
    highest cosine, highest first: the heads most easily confused.
    """

    dim: int
    classes: int
    texts: int
    spread: float | None
    spreads: tuple[Spread, ...]
    closest: tuple[Pair, ...]


def of_embeddings(
    class_names: Sequence[str],
    embeddings_CE: np.ndarray,
    texts_C: Sequence[int],
    spread_C: Sequence[float | None],
) -> EmbeddingsDigest:
    """Return what stands out in class embeddings: the closest classes, and those whose texts agree least."""
    spreads = [
        Spread(class_names[index], index, texts_C[index], value)
        for index, value in enumerate(spread_C)
        if value is not None
    ]
    return EmbeddingsDigest(
        dim=embeddings_CE.shape[1],
        classes=len(class_names),
        texts=sum(texts_C),
        spread=float(np.mean([line.spread for line in spreads])) if spreads else None,
        spreads=tuple(sorted(spreads, key=lambda line: (line.spread, line.class_index))),
        closest=tuple(
            Pair(class_names[a], class_names[b], cosine, a, b) for a, b, cosine in closest(embeddings_CE, SHOWN)
        ),
    )


class FarText(NamedTuple):
    """A text, and the cosine between its embedding and its class's."""

    class_name: str
    class_index: int
    text: str
    cosine: float


@dataclass(frozen=True, kw_only=True)
class TextsDigest:
    """The embeddings of single texts at a glance; `farthest` are those least like their class, least first."""

    dim: int
    classes: int
    texts: int
    farthest: tuple[FarText, ...]


def of_texts(table: pa.Table, count: int = SHOWN) -> TextsDigest:
    """Return what stands out in the embeddings of single texts: the `count` that are least like their class."""
    order = np.argsort(table["cosine"].to_numpy(), kind="stable")[:count]
    farthest = table.select(FarText._fields).take(order).to_pylist()
    return TextsDigest(
        dim=len(table["embedding"][0]),
        classes=len(table["class_index"].unique()),
        texts=len(table),
        farthest=tuple(FarText(**row) for row in farthest),
    )


class QuestionShare(NamedTuple):
    """One question of the set, as the first class was asked it; rows that ask it, and those without a description."""

    example: str
    rows: int
    missing: int


class ClassCount(NamedTuple):
    """A class, and how many descriptions it has."""

    class_name: str
    class_index: int
    descriptions: int


class Sample(NamedTuple):
    """One description."""

    class_name: str
    question: str
    description: str


@dataclass(frozen=True, kw_only=True)
class DescriptionsDigest:
    """Descriptions at a glance; "missing" rows are questions that have no description, by `status` and by question.

    `classes` counts the classes that have a row; `whole` is False where the data set has classes without any row, of
    which `absent` are the indices below the highest one seen.
    `questions` is empty where classes were not all asked the same number of questions. `per_class` counts every class,
    fewest first; `words` are the fewest, median and most of a description, None without any.
    """

    classes: int
    whole: bool
    absent: tuple[int, ...]
    descriptions: int
    missing: int
    status: dict[str, int]
    sources: dict[str, int]
    questions: tuple[QuestionShare, ...]
    per_class: tuple[ClassCount, ...]
    repeated: int
    words: tuple[int, float, int] | None
    sample: tuple[Sample, ...]

    @property
    def without(self) -> tuple[str, ...]:
        """Return the classes that have rows and no description."""
        return tuple(line.class_name for line in self.per_class if line.descriptions == 0)


def of_descriptions(table: pa.Table, classes_sha256: str | None, sample: int = SHOWN) -> DescriptionsDigest:
    """Return what stands out in descriptions: counts, gaps, and `sample` of them at even steps through the classes."""
    rows = table.to_pylist()
    names = {row["class_index"]: row["class_name"] for row in rows}
    has_text = [bool((row["description"] or "").strip()) for row in rows]
    described = [row for row, good in zip(rows, has_text, strict=True) if good]
    counts = Counter(row["class_index"] for row in described)
    words = [len(row["description"].split()) for row in described]
    ordered = [names[index] for index in sorted(names)]
    per_class = [ClassCount(names[index], index, counts[index]) for index in sorted(names)]
    steps = np.linspace(0, len(described), min(sample, len(described)), endpoint=False).astype(int)
    return DescriptionsDigest(
        classes=len(names),
        whole=classes_sha256 in (None, sha256_names(ordered)),
        absent=tuple(sorted(set(range(max(names, default=-1) + 1)) - set(names))),
        descriptions=len(described),
        missing=len(rows) - len(described),
        status=dict(Counter(row["status"] for row in rows)),
        sources=dict(Counter(row["source"] for row in rows)),
        questions=_questions(rows, has_text),
        per_class=tuple(sorted(per_class, key=lambda line: (line.descriptions, line.class_index))),
        repeated=len(described) - len({row["description"] for row in described}),
        words=(min(words), float(np.median(words)), max(words)) if words else None,
        sample=tuple(Sample(*(described[n][key] for key in Sample._fields)) for n in steps),
    )


def _questions(rows: list[dict], has_text: list[bool]) -> tuple[QuestionShare, ...]:
    """Return the questions by their place in a class's list: each class's are worded with its own name."""
    asked: dict[int, list[str]] = {}
    places = []
    for row in rows:
        of_class = asked.setdefault(row["class_index"], [])
        if row["question"] not in of_class:
            of_class.append(row["question"])
        places.append(of_class.index(row["question"]))
    if len({len(of_class) for of_class in asked.values()}) != 1:
        return ()
    total = Counter(places)
    good = Counter(place for place, is_good in zip(places, has_text, strict=True) if is_good)
    first = next(iter(asked.values()))
    return tuple(QuestionShare(example, total[n], total[n] - good[n]) for n, example in enumerate(first))
