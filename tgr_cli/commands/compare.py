"""`tgr compare`: candidates against a baseline, as in the paper's Table 1."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tgr_cli.commands import options as o
from tgr_cli.commands.console import count, factor, number, percent
from tgr_cli.commands.session import session

FLAGGED = "~"
FACTORS = {
    "last_layer": "mean dLoss, last layer (last site alone)",
    "last_layer_by_neurons": "mean dLoss, last two layers by neurons",
    "last_layer_by_macs": "mean dLoss, last two layers by MACs",
    "overall": "mean dLoss, mean over sites",
    "overall_per_image": "mean dLoss, the same over sites that see the image",
    "overall_by_macs": "mean dLoss, sum over sites by MACs (V_CNN)",
    "sdc_last_layer": "SDC rate, last layer",
    "sdc_overall": "SDC rate, mean over sites",
    "median_last_layer": "median dLoss, last layer",
    "median_overall": "median dLoss, mean over sites",
}
GROUNDS = {
    "faults": "faults: baseline, candidate",
    "sdc": "SDCs among them",
    "non_finite": "non-finite outcomes among them",
    "correct": "images classified correctly",
}


def compare(
    ctx: typer.Context,
    baseline: Annotated[str, typer.Argument(help="Run folder of the baseline, by name or path.")],
    candidates: Annotated[list[str], typer.Argument(help="Run folders of the candidates.")],
    dataset: o.Dataset = "imagenet",
    name: o.Name = None,
    workdir: o.Workdir = Path("runs"),
    out: o.Out = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Compare candidates with a baseline: accuracy, cost, improvement in mean dLoss and SDC rate, Top2Diff.

    A factor is baseline / candidate: above 1 the candidate is better. In brackets its interval, over faults and images
    alone: trainings with other seeds differ more. ~ marks an interval that rests on too little.
    """
    from tgr_cli.steps import compare as step

    with session(ctx) as console:
        result = step.run(o.configure(step.Config, locals()), console)
        console.wrote(result.path)
    if json:
        console.json({"comparison": result.path, "rows": result.rows})
        return
    own = [row for row in result.rows if row["images"] == "own"]
    cells = [_cost(row) for row in own]
    console.table(
        f"Against {own[0]['baseline']}: accuracy and cost",
        ("figure", *(row["candidate"] for row in own)),
        [(meaning, *(column[meaning] for column in cells)) for meaning in cells[0]],
    )
    for candidate in dict.fromkeys(row["candidate"] for row in result.rows):
        chosen = [row for row in result.rows if row["candidate"] == candidate]
        console.table(
            f"{candidate}: improvement, baseline / candidate",
            ("figure", *(f"{row['images']} images" for row in chosen)),
            [
                *((meaning, *(_factor(row, name) for row in chosen)) for name, meaning in FACTORS.items()),
                *((meaning, *(_counts(row, name) for row in chosen)) for name, meaning in GROUNDS.items()),
            ],
        )
    if any(_flagged(row, name) for row in result.rows for name in FACTORS):
        console.line(f"{FLAGGED} marks intervals that rest on too little: inject more faults, or on more images")


def _cost(row: dict[str, Any]) -> dict[str, str]:
    before, after = row["top2diff_baseline"], row["top2diff_candidate"]
    gain = "-" if before is None or after is None else f"{after - before:+.4f}"
    return {
        "top-1 accuracy of the baseline": percent(row["accuracy_baseline"]),
        "top-1 accuracy": percent(row["accuracy_candidate"]),
        "parameters, added": f"{row['params_delta']:+,}",
        "MACs, added": f"{row['macs_delta']:+,}",
        "Top2Diff of correct images, baseline": number(before),
        "Top2Diff of correct images": number(after),
        "Top2Diff, gained": gain,
    }


def _factor(row: dict[str, Any], name: str) -> str:
    if row[f"{name}_low"] is None:
        return factor(row[name])
    mark = FLAGGED if _flagged(row, name) else ""
    return f"{factor(row[name])} ({mark}{row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})"


def _flagged(row: dict[str, Any], name: str) -> bool:
    return row[name] is not None and not row[f"{name}_reliable"]


def _counts(row: dict[str, Any], name: str) -> str:
    return f"{count(row[f'{name}_baseline'])}, {count(row[f'{name}_candidate'])}"
