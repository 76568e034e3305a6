"""`tgr compare`: candidates against a baseline, as in the paper's Table 1."""

from typing import Annotated

import typer

from tgr_cli import defaults
from tgr_cli.commands import options as o
from tgr_cli.commands import tables
from tgr_cli.commands.beside_published import beside_table, print_beside
from tgr_cli.commands.comparison import FACTORS, FLAGGED, headline, is_flagged, print_comparison
from tgr_cli.commands.gates import GATES, Junit, conclude, prepare_junit
from tgr_cli.commands.session import session


def compare(
    ctx: typer.Context,
    baseline: Annotated[
        str,
        typer.Argument(
            help="Baseline: a run folder, by name or path, or one of its deployments, as net-baseline-int8."
        ),
    ],
    candidates: Annotated[list[str], typer.Argument(help="Candidates, named alike.")],
    min_improvement: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Exit with 3 unless every candidate's improvement is at least this with confidence.",
            rich_help_panel=GATES,
        ),
    ] = None,
    gate_on: Annotated[
        str | None,
        typer.Option(
            help=f"The factor that --min-improvement is about: {', '.join(FACTORS)} (default: {defaults.FACTOR}).",
            rich_help_panel=GATES,
        ),
    ] = None,
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            help="Print the papers' figures beside the measured ones, and where these disagree with each other.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = False,
    allow_different: o.AllowDifferent = None,
    dataset: o.Dataset = defaults.DATASET,
    name: o.Name = None,
    workdir: o.Workdir = defaults.WORKDIR,
    out: o.Out = None,
    junit: Junit = None,
    json: o.Json = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table of candidates as Markdown.", rich_help_panel=o.OUTPUT)
    ] = False,
    latex: Annotated[
        bool,
        typer.Option("--latex", help="Print it as LaTeX, for the package booktabs.", rich_help_panel=o.OUTPUT),
    ] = False,
    quiet: o.Quiet = False,
) -> None:
    """Compare candidates with a baseline: accuracy, cost, improvement in mean dLoss and SDC rate, Top2Diff.

    A factor is baseline / candidate: above 1 the candidate is better. In parentheses: its 99 % interval over faults and
    images; it does not include the variation between training seeds. The verdict is better or worse if the interval
    excludes 1. ~ marks an interval with too little data. Exit code 3: a gate failed.
    """
    from tgr_cli.artifacts.layout import Workspace
    from tgr_cli.data.source import DataSource
    from tgr_cli.preflight import before

    if json + markdown + latex > 1:
        raise typer.BadParameter("--json, --markdown and --latex exclude each other; choose one")
    with session(ctx) as console:
        workspace = Workspace(workdir, DataSource(dataset=dataset, name=name).folder)
        before.compare(workspace, [baseline, *candidates])
        prepare_junit(junit, min_improvement)
        from tgr_cli.steps import compare as step

        given = locals() | {"allow_different": allow_different or ()}
        result = step.run(o.configure(step.Config, given), console)
        console.wrote(result.path)
    if json:
        differences = [vars(difference) for difference in result.differences]
        gate = result.gate and result.gate.facts
        printed = {"comparison": result.path, "rows": result.rows, "differences": differences, "gate": gate}
        console.json(printed | ({"published": vars(result.beside)} if published else {}))
    elif markdown or latex:
        own = [row for row in result.rows if row["images"] == "own"]
        made = tables.markdown if markdown else tables.latex
        console.text(made(*headline(own)))
        if published and result.beside.rows:
            console.text("\n" + made(*beside_table(result.beside.rows)))
        for sentence in result.beside.sentences if published else ():
            console.note(sentence)
        console.note("the factors are of mean dLoss, with 99 % intervals, on the images of each model's own campaign")
        if any(is_flagged(row, ("last_layer", "overall")) for row in own):
            console.note(f"{FLAGGED} marks intervals that rest on too little: inject more faults, or on more images")
    else:
        print_comparison(console, result.rows)
        if published:
            print_beside(console, result.beside)
    conclude(result.gate, "tgr compare", junit)
