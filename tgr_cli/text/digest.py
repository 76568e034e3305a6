"""Summaries of descriptions and embeddings: what is missing and what is most similar."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tgr_cli.artifacts.provenance import sha256_names
from tgr_cli.text.initialise import closest

SHOWN = 5  # number of pairs, classes or texts listed


class Pair(NamedTuple):
    """Two classes by name, the cosine similarity of their embeddings, and their indices (names may be equal)."""

    first: str
    second: str
    cosine: float
    first_index: int
    second_index: int


class Spread(NamedTuple):
    """A class, its number of texts, and their mean cosine similarity to the class embedding."""

    class_name: str
    class_index: int
    texts: int
    spread: float


@dataclass(frozen=True, kw_only=True)
class EmbeddingsDigest:
    """Summary of class embeddings. `spread` is the mean over classes, None if no texts were averaged.

    `spreads` has one entry per class with texts, lowest agreement first; `closest` has the pairs of classes with the
    highest cosine similarity, which are the most easily confused.
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
    """Return the summary of class embeddings: closest classes, and classes whose texts agree least."""
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
    """A text, and the cosine similarity between its embedding and its class's."""

    class_name: str
    class_index: int
    text: str
    cosine: float


@dataclass(frozen=True, kw_only=True)
class TextsDigest:
    """Summary of text embeddings; `farthest` lists the texts least similar to their class, lowest first."""

    dim: int
    classes: int
    texts: int
    farthest: tuple[FarText, ...]


def of_texts(table: pa.Table, count: int = SHOWN) -> TextsDigest:
    """Return the summary of text embeddings, with the `count` texts least similar to their class."""
    order = np.argsort(table["cosine"].to_numpy(), kind="stable")[:count]
    farthest = table.select(FarText._fields).take(order).to_pylist()
    return TextsDigest(
        dim=len(table["embedding"][0]),
        classes=len(table["class_index"].unique()),
        texts=len(table),
        farthest=tuple(FarText(**row) for row in farthest),
    )


class QuestionShare(NamedTuple):
    """A question of the set, as worded for the first class; its number of rows, and those without a description."""

    example: str
    rows: int
    missing: int


class ClassCount(NamedTuple):
    """A class and its number of descriptions."""

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
    """Summary of descriptions; "missing" rows are questions without a description, by `status` and by question.

    `classes` counts the classes with rows; `whole` is False if the data set has classes without rows, and `absent` are
    the indices of these below the highest one seen. `questions` is empty if the classes were asked different numbers of
    questions. `per_class` counts the descriptions of every class, fewest first; `words` are the minimum, median and
    maximum length of a description, None if there is none.
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
        """Return the classes with rows but no description."""
        return tuple(line.class_name for line in self.per_class if line.descriptions == 0)


def of_descriptions(table: pa.Table, classes_sha256: str | None, sample: int = SHOWN) -> DescriptionsDigest:
    """Return the summary of descriptions: counts, gaps, and `sample` of them at even steps through the classes."""
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
    """Return the questions by position, as each class's wording contains its own name."""
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
