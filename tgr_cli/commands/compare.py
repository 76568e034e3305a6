"""`tgr compare`: candidates against a baseline, as in the paper's Table 1."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tgr_cli.commands import options as o
from tgr_cli.commands.console import count, factor, number, percent
from tgr_cli.commands.session import session

FLAGGED = "~"


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

    A factor is baseline / candidate: above 1 the candidate is better. Factors have no intervals yet; ~ marks one that
    rests on a site whose own interval is flagged unreliable.
    """
    from tgr_cli.steps import compare as step

    with session(ctx) as console:
        result = step.run(o.configure(step.Config, locals()), console)
        console.wrote(result.path)
    if json:
        console.json({"comparison": result.path, "rows": result.rows})
        return
    console.table(
        f"Against {result.rows[0]['baseline']}: accuracy and cost",
        ("candidate", "top-1 before", "top-1", "parameters", "MACs", "Top2Diff before", "Top2Diff", "gain"),
        [_cost(row) for row in result.rows if row["images"] == "own"],
    )
    console.table(
        "Improvement of mean dLoss and SDC rate: baseline / candidate",
        (
            "candidate",
            "images",
            "last layer",
            "by neurons",
            "by MACs",
            "overall",
            "by MACs",
            "SDC last layer",
            "SDC overall",
            "median overall",
        ),
        [_improvement(row) for row in result.rows],
    )
    console.table(
        "What the factors rest on: baseline, candidate",
        ("candidate", "images", "faults", "SDCs", "non-finite", "correct images"),
        [
            (
                row["candidate"],
                row["images"],
                *(
                    f"{count(row[f'{name}_baseline'])}, {count(row[f'{name}_candidate'])}"
                    for name in ("faults", "sdc", "non_finite", "correct")
                ),
            )
            for row in result.rows
        ],
    )
    if not all(row["last_layer_reliable"] and row["overall_reliable"] for row in result.rows):
        console.line(f"{FLAGGED} rests on a site whose interval is unreliable: inject more faults, or on more images")


def _cost(row: dict[str, Any]) -> tuple[str, ...]:
    before, after = row["top2diff_baseline"], row["top2diff_candidate"]
    gain = None if before is None or after is None else after - before
    return (
        row["candidate"],
        percent(row["accuracy_baseline"]),
        percent(row["accuracy_candidate"]),
        f"{row['params_delta']:+,}",
        f"{row['macs_delta']:+,}",
        number(before),
        number(after),
        "-" if gain is None else f"{gain:+.4f}",
    )


def _improvement(row: dict[str, Any]) -> tuple[str, ...]:
    last = "" if row["last_layer_reliable"] else FLAGGED
    overall = "" if row["overall_reliable"] else FLAGGED
    return (
        row["candidate"],
        row["images"],
        *(last + factor(row[name]) for name in ("last_layer", "last_layer_by_neurons", "last_layer_by_macs")),
        *(overall + factor(row[name]) for name in ("overall", "overall_by_macs")),
        *(factor(row[name]) for name in ("sdc_last_layer", "sdc_overall", "median_overall")),
    )
