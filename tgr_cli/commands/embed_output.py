"""Output of summaries of descriptions and embeddings, as tables and JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tgr_cli.commands.console import Console, count, number

if TYPE_CHECKING:
    from tgr_cli.text.digest import DescriptionsDigest, EmbeddingsDigest, TextsDigest

FEW = 20  # number of classes up to which all are listed


def print_embeddings(console: Console, digest: "EmbeddingsDigest", more: Sequence[tuple[str, str]] = ()) -> None:
    """Print the embeddings' facts and `more`, the classes whose texts agree least, and the closest pairs of classes."""
    facts = [
        *more,
        ("classes", count(digest.classes)),
        ("E", count(digest.dim)),
        ("texts", count(digest.texts)),
        ("spread (mean cosine of texts to their class)", number(digest.spread)),
    ]
    console.table("Class embeddings", ("fact", "value"), facts)
    if digest.spreads:
        shown = digest.spreads[: len(digest.closest)]
        console.table(
            "Classes whose texts agree least",
            ("class", "texts", "spread"),
            [(f"{line.class_index} {line.class_name}", count(line.texts), number(line.spread)) for line in shown],
        )
    pairs = [
        (f"{pair.first_index} {pair.first}, {pair.second_index} {pair.second}", number(pair.cosine))
        for pair in digest.closest
    ]
    console.table("Closest classes: the heads most easily confused", ("pair", "cosine"), pairs)


def embeddings_json(digest: "EmbeddingsDigest") -> dict[str, Any]:
    """Return the summary as JSON values, with every class's spread in class order."""
    return {
        "classes": digest.classes,
        "dim": digest.dim,
        "texts": digest.texts,
        "spread": digest.spread,
        "spreads": [
            {"class": line.class_name, "class_index": line.class_index, "texts": line.texts, "spread": line.spread}
            for line in sorted(digest.spreads, key=lambda line: line.class_index)
        ],
        "closest": [pair._asdict() for pair in digest.closest],
    }


def print_texts(console: Console, digest: "TextsDigest") -> None:
    """Print the texts least similar to their class."""
    facts = [("classes", count(digest.classes)), ("texts", count(digest.texts)), ("E", count(digest.dim))]
    console.table("Embeddings of single texts", ("fact", "value"), facts)
    console.line("Texts least like their class, by cosine")
    for line in digest.farthest:
        console.line(f"  {number(line.cosine)} {line.class_index} {line.class_name}: {line.text}")


def texts_json(digest: "TextsDigest") -> dict[str, Any]:
    """Return the summary as JSON values."""
    return asdict(digest) | {"farthest": [line._asdict() for line in digest.farthest]}


def print_descriptions(console: Console, digest: "DescriptionsDigest") -> None:
    """Print counts by class and question, what is missing, and a sample."""
    facts = [
        ("classes", count(digest.classes)),
        ("descriptions", count(digest.descriptions)),
        ("status", _counts(digest.status)),
        ("source", _counts(digest.sources)),
        ("the same text again", count(digest.repeated)),
    ]
    if digest.words:
        least, median, most = digest.words
        facts.append(("words in a description", f"{count(least)} to {count(most)}, median {median:g}"))
    console.table("Descriptions", ("fact", "value"), facts)
    if digest.questions:
        rows = [(line.example or "(not known)", count(line.rows), count(line.missing)) for line in digest.questions]
        console.table("By question, as the first class is asked", ("question", "rows", "without text"), rows)
    _print_classes(console, digest)
    console.line("Sample")
    for line in digest.sample:
        console.line(f"  {line.class_name}: {line.description}")


def _print_classes(console: Console, digest: "DescriptionsDigest") -> None:
    fewest, most = digest.per_class[0].descriptions, digest.per_class[-1].descriptions
    if fewest == most:
        console.line(f"Every class has {count(most)} description{'' if most == 1 else 's'}.")
    elif len(digest.per_class) <= FEW:
        rows = [(f"{line.class_index} {line.class_name}", count(line.descriptions)) for line in digest.per_class]
        console.table("By class, fewest first", ("class", "descriptions"), rows)
    else:
        rows = [(f"{line.class_index} {line.class_name}", count(line.descriptions)) for line in digest.per_class[:FEW]]
        title = f"By class, the {FEW} with the fewest; the most is {count(most)}"
        console.table(title, ("class", "descriptions"), rows)
    if digest.without:
        console.line(f"Without any description: {_listed(digest.without)}")
    if not digest.whole:
        gaps = f", among them {_listed([str(index) for index in digest.absent])}" if digest.absent else ""
        console.line(f"The data set has classes that this file has no row of{gaps}.")


def descriptions_json(digest: "DescriptionsDigest") -> dict[str, Any]:
    """Return the summary as JSON values, with every class's count in class order."""
    return {
        "classes": digest.classes,
        "whole": digest.whole,
        "absent": list(digest.absent),
        "descriptions": digest.descriptions,
        "missing": digest.missing,
        "without": list(digest.without),
        "status": digest.status,
        "sources": digest.sources,
        "repeated": digest.repeated,
        "words": digest.words,
        "questions": [line._asdict() for line in digest.questions],
        "per_class": [
            {"class": line.class_name, "class_index": line.class_index, "descriptions": line.descriptions}
            for line in sorted(digest.per_class, key=lambda line: line.class_index)
        ],
        "sample": [line._asdict() for line in digest.sample],
    }


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count(n)}" for name, n in counts.items())


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:FEW]) + (f" and {len(listed) - FEW} more" if len(listed) > FEW else "")
