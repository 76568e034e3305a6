"""`tgr fit`: failures in time, in the words of functional safety."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tgr_cli import defaults
from tgr_cli.commands import options as o
from tgr_cli.commands.console import Console, count, number, percent
from tgr_cli.commands.gates import GATES, Junit, conclude, prepare_junit
from tgr_cli.commands.session import session

if TYPE_CHECKING:
    from tgr_cli.steps.fit import Result

RATES = {"fit_undetected": "λ_DU", "fit_detected": "λ_DD", "fit_safe": "λ_S"}
SHARES = {"safe_fraction": "safe fraction", "diagnostic_coverage": "diagnostic coverage", "spfm": "SPFM"}


def fit(
    ctx: typer.Context,
    runs: Annotated[
        list[str], typer.Argument(help="Runs, by name or path, as for compare; or injections artifacts, by path.")
    ],
    raw_fit: Annotated[
        float,
        typer.Option(help="Raw rate of upsets of the memory: FIT (in 10⁹ hours) per --per, derated for ECC and such."),
    ],
    per: Annotated[str, typer.Option(help="Bits the raw rate is for: mbit (10⁶ bits) or bit.")] = defaults.PER,
    exposure: Annotated[
        str,
        typer.Option(
            help="Share of the time for which a struck word is held: 1 is always, as weights are, and an upper bound "
            "for activations; or macs: each output for its site's share of multiply-accumulates."
        ),
    ] = defaults.EXPOSURE,
    non_finite: Annotated[
        str, typer.Option(help="Whether a monitor finds logits that are NaN or infinite: undetected or detected.")
    ] = defaults.NON_FINITE,
    rerun_below: Annotated[
        float | None,
        typer.Option(help="Inferences with a confidence below this are run again, so that a transient is detected."),
    ] = None,
    rerun_on: Annotated[
        str, typer.Option(help="The confidence of --rerun-below: top2diff or top1conf.")
    ] = defaults.CRITERION,
    protected_by: Annotated[
        str | None,
        typer.Option(
            help="Technique of tgr protect (ilr, flr or filr) whose chosen point detects faults, those on the "
            "deployment images.",
            show_default=False,
        ),
    ] = None,
    protection: Annotated[
        Path | None,
        typer.Option(help="Artifact of tgr protect (default: that of the data set).", show_default=False),
    ] = None,
    lasting_count: Annotated[
        str,
        typer.Option(
            help="How a fault in a tensor counts: once (dangerous if any inference it was tried on is) or each "
            "(the mean over inferences)."
        ),
    ] = defaults.LASTING_COUNT,
    confidence: Annotated[float, typer.Option(help="Confidence of the intervals, two-sided.")] = defaults.CONFIDENCE,
    max_fit: Annotated[
        float | None,
        typer.Option(
            help="Exit with 3 unless every run's λ_DU is at most this with confidence.", rich_help_panel=GATES
        ),
    ] = None,
    min_spfm: Annotated[
        float | None,
        typer.Option(
            help="Exit with 3 unless every run's SPFM is at least this with confidence.", rich_help_panel=GATES
        ),
    ] = None,
    dataset: o.Dataset = defaults.DATASET,
    name: o.Name = None,
    workdir: o.Workdir = defaults.WORKDIR,
    out: o.Out = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write the rows to this CSV file, too.", rich_help_panel=o.OUTPUT)
    ] = None,
    junit: Junit = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Failures in time of the bits struck: λ, safe, dangerous detected and undetected, diagnostic coverage, SPFM.

    A fault is dangerous if it changes the prediction or makes a logit NaN or infinite. In parentheses: the interval,
    two-sided. Formulas, sources and what is left out: docs/functional_safety.md. Exit code 3: a gate failed.
    """
    from tgr_cli.artifacts.layout import Workspace
    from tgr_cli.data.source import DataSource
    from tgr_cli.preflight import before

    with session(ctx) as console:
        before.fit(Workspace(workdir, DataSource(dataset=dataset, name=name).folder), runs)
        prepare_junit(junit, max_fit, min_spfm)
        from tgr_cli.steps import fit as step

        result = step.run(o.configure(step.Config, locals()), console)
        console.wrote(result.path, *([csv] if csv else []))
    if json:
        gate = result.gate and result.gate.facts
        console.json({"fit": result.path, "rows": result.rows, "left_out": result.left_out, "gate": gate})
    else:
        _print(console, result)
    conclude(result.gate, "tgr fit", junit)


def _print(console: Console, result: "Result") -> None:
    for model, sentences in result.left_out.items():
        rows = [row for row in result.rows if row["model"] == model]
        console.table(f"{model}: failures in time by site", _columns("site"), [_cells(row, "site") for row in rows])
        for sentence in sentences:
            console.line(sentence)
        console.line("")
    totals = [row for row in result.rows if not row["site"]]
    if len(totals) > 1:
        console.table("All sites", _columns("model"), [_cells(row, "model") for row in totals])
    if not all(row["coverage_reliable"] or row["diagnostic_coverage"] is None for row in result.rows):
        console.note("~ marks diagnostic coverages that rest on too few dangerous faults: inject more")


def _columns(first: str) -> Sequence[str]:
    return (first, "bits", "λ (FIT)", *(f"{name} (FIT)" for name in RATES.values()), *SHARES.values())


def _cells(row: Mapping[str, Any], first: str) -> tuple[str, ...]:
    rates = (_with_limits(row, name, number) for name in RATES)
    marks = {"diagnostic_coverage": "" if row["coverage_reliable"] else "~"}
    shares = (_with_limits(row, name, percent, marks.get(name, "")) for name in SHARES)
    return row[first] or "all", count(row["bits"]), number(row["fit"]), *rates, *shares


def _with_limits(row: Mapping[str, Any], name: str, shown: Any, mark: str = "") -> str:
    if row[name] is None:
        return "-"
    return f"{shown(row[name])} ({mark}{shown(row[f'{name}_low'])} to {shown(row[f'{name}_high'])})"
