"""Output of a comparison: one row per candidate as in the paper's Table 1, then each candidate's factors."""

from collections.abc import Mapping, Sequence
from typing import Any

from tgr_cli.commands.console import Console, count, in_percent, number
from tgr_cli.reporting import plain_factor

Row = Mapping[str, Any]

FLAGGED = "~"
FACTORS = {
    "last_layer": "mean dLoss, last layer (last site)",
    "last_layer_by_neurons": "mean dLoss, last two by neurons",
    "last_layer_by_macs": "mean dLoss, last two by MACs",
    "overall": "mean dLoss, mean over sites",
    "overall_per_image": "mean dLoss, sites seeing the image",
    "overall_by_macs": "mean dLoss, sum by MACs (V_CNN)",
    "sdc_last_layer": "SDC rate, last layer",
    "sdc_overall": "SDC rate, mean over sites",
    "median_last_layer": "median dLoss, last layer",
    "median_overall": "median dLoss, mean over sites",
}
GROUNDS = {
    "faults": "faults",
    "sdc": "SDCs among them",
    "non_finite": "non-finite outcomes among them",
    "correct": "images classified correctly",
}
MOST = 10_000_000  # faults per site, or images: beyond that only "more than" is printed


def headline(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Return columns and cells of the table of candidates, from the rows on the images of each one's own campaign."""
    unit, params = _amounts([row["params_delta"] for row in rows])
    macs_unit, macs = _amounts([row["macs_delta"] for row in rows])
    columns = [
        "candidate",
        "accuracy of the baseline (%)",
        "accuracy (gain) (%)",
        f"parameters added{unit}",
        f"MACs added{macs_unit}",
        "last layer (×)",
        "overall (×)",
        "Top2Diff of the baseline",
        "Top2Diff",
        "verdict on mean dLoss",
        "verdict on SDC rate",
    ]
    cells = [
        [
            row["candidate"],
            in_percent(row["accuracy_baseline"]),
            f"{in_percent(row['accuracy_candidate'])} ({in_percent(_gain(row), sign='+')})",
            added_params,
            added_macs,
            factor(row, "last_layer"),
            factor(row, "overall"),
            number(row["top2diff_baseline"]),
            number(row["top2diff_candidate"]),
            row["overall_verdict"] or "-",
            row["sdc_overall_verdict"] or "-",
        ]
        for row, added_params, added_macs in zip(rows, params, macs, strict=True)
    ]
    return columns, cells


def print_comparison(console: Console, rows: Sequence[Row]) -> None:
    """Print the table of candidates, then for each one its accuracy test, its factors and their sample sizes."""
    own = [row for row in rows if row["images"] == "own"]
    console.table(f"Against {own[0]['baseline']}: improvement is baseline / candidate", *headline(own))
    for first in own:
        chosen = [row for row in rows if row["candidate"] == first["candidate"]]
        _print_factors(console, first["candidate"], chosen)
        console.line(_accuracy(first))
        for wanted in _settled(first):
            console.line(wanted)
        console.line("")
        console.table(
            f"{first['candidate']}: what that rests on",
            ("", *(f"{row['images']} images: {side}" for row in chosen for side in ("baseline", "candidate"))),
            [
                (meaning, *(count(row[f"{name}_{side}"]) for row in chosen for side in ("baseline", "candidate")))
                for name, meaning in GROUNDS.items()
            ],
        )
    if any(row["non_finite_baseline"] or row["non_finite_candidate"] for row in rows):
        console.line("Non-finite outcomes are neither SDCs nor in a mean dLoss: no factor counts them.")
    if any(is_flagged(row) for row in rows):
        console.line(f"{FLAGGED} marks intervals that rest on too little: inject more faults, or on more images")


def factor(row: Row, name: str) -> str:
    """Return an improvement factor with its interval, marked if the interval has too little data."""
    if row[name] is None:
        return "-"
    if row[f"{name}_low"] is None:
        return plain_factor(row[name])
    mark = "" if row[f"{name}_reliable"] else FLAGGED
    middle, low, high = (plain_factor(row[column]) for column in (name, f"{name}_low", f"{name}_high"))
    return f"{mark}{middle} ({low} to {high})"


def is_flagged(row: Row, names: Sequence[str] = tuple(FACTORS)) -> bool:
    """Return whether one of these factors is marked."""
    return any(row[f"{name}_low"] is not None and not row[f"{name}_reliable"] for name in names)


def _print_factors(console: Console, candidate: str, rows: Sequence[Row]) -> None:
    columns, shown = ["figure"], [[meaning] for meaning in FACTORS.values()]
    for row in rows:
        columns += [f"{row['images']} images (×)", "verdict at 99 %"]
        for cells, name in zip(shown, FACTORS, strict=True):
            cells += [factor(row, name), row[f"{name}_verdict"] or "-"]
    console.table(f"{candidate}: improvement, with its interval", columns, shown)


def _accuracy(row: Row) -> str:
    return (
        f"Accuracy: {row['accuracy_verdict']}; images that {row['candidate']} alone gets right: "
        f"{count(row['only_candidate_correct'])}, {row['baseline']} alone: "
        f"{count(row['only_baseline_correct'])} (McNemar's p = {number(row['accuracy_p'], 2)})."
    )


def _settled(row: Row) -> list[str]:
    """Return, for each factor not distinguishable from 1, the number of faults or images that would settle it."""
    sentences = []
    for name, meaning in FACTORS.items():
        for unit, what in (("faults", "faults per site"), ("images", "images (more faults on these images would not)")):
            wanted = row[f"{name}_settled_by_{unit}"]
            if wanted is not None:
                amount = f"more than {count(MOST)}" if wanted > MOST else f"about {count(wanted)}"
                sentences.append(f"If its value stays the same, {amount} {what} would settle the {meaning}.")
    return sentences


def _gain(row: Row) -> float:
    return float(row["accuracy_candidate"] - row["accuracy_baseline"])


def _amounts(values: Sequence[int]) -> tuple[str, list[str]]:
    """Return signed numbers, in millions or thousands if they are large, and that unit for the header."""
    largest = max(abs(value) for value in values)
    if largest < 10_000:
        return "", [f"{value:+,}" for value in values]
    unit, size = (" (M)", 1e6) if largest >= 100_000 else (" (k)", 1e3)
    digits = 2 if largest < 1000 * size else 0
    return unit, [f"{value / size:+,.{digits}f}" for value in values]
