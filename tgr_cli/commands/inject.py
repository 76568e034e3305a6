"""`tgr inject`: run a fault-injection campaign."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tgr_cli.commands import options
from tgr_cli.commands.console import Console, count, number, percent
from tgr_cli.commands.session import session
from tgr_cli.errors import TgrError

if TYPE_CHECKING:
    from tgr_cli.steps.inject import Result
    from tgr_cli.steps.replay import Replay

FAULTS, GATES = "Faults", "Gates"
GATE_FAILED = 3


def inject(
    ctx: typer.Context,
    model: options.Model,
    dataset: options.Dataset = "imagenet",
    injections: Annotated[int, typer.Option(min=1, help="Faults a site.", rich_help_panel=FAULTS)] = 4096,
    limit: Annotated[
        str,
        typer.Option(
            help="What a struck value is held to: clamp (± the site's profiled max-abs), zero (outside it), none.",
            rich_help_panel=FAULTS,
        ),
    ] = "clamp",
    ranges: Annotated[
        Path | None,
        typer.Option(
            help="Ranges to hold values to (default: the run's, else profiled first).", rich_help_panel=FAULTS
        ),
    ] = None,
    targets: options.Targets = "conv,linear",
    engine: Annotated[
        str,
        typer.Option(
            help="auto (the fastest exact one for each site), delta (propagates the change), replay (runs what depends "
            "on the site), full (the oracle), pytorchfi (for comparison).",
            rich_help_panel=FAULTS,
        ),
    ] = "auto",
    verify: Annotated[
        int,
        typer.Option(
            min=0,
            help="Run this many random faults of the finished campaign again through full; any other outcome is an "
            "error.",
            rich_help_panel=FAULTS,
        ),
    ] = 0,
    faults: Annotated[
        Path | None,
        typer.Option(
            help="Run exactly the faults of this file: an injections artifact, or CSV with site,index,bit,image_id.",
            rich_help_panel=FAULTS,
        ),
    ] = None,
    replay: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Run one row of the run's injections (or of --faults) again, compare it, and write nothing.",
            rich_help_panel=FAULTS,
        ),
    ] = None,
    label: Annotated[
        str,
        typer.Option(
            help="Class the losses are taken against: true (the data set's) or golden (the fault-free prediction).",
            rich_help_panel=FAULTS,
        ),
    ] = "true",
    all_images: Annotated[
        bool, typer.Option("--all-images", help="Strike wrongly classified images too.", rich_help_panel=FAULTS)
    ] = False,
    confidence: Annotated[float, typer.Option(help="Confidence of the intervals.", rich_help_panel=FAULTS)] = 0.99,
    seed: options.Seed = 0,
    max_sdc_rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Exit with 3 unless the network's rate of sdc + non_finite is below this with confidence.",
            rich_help_panel=GATES,
        ),
    ] = None,
    max_dloss: Annotated[
        float | None,
        typer.Option(min=0, help="Exit with 3 unless the network's mean dLoss is below this.", rich_help_panel=GATES),
    ] = None,
    checkpoint: options.Checkpoint = None,
    weights: options.Weights = None,
    head: options.Head = None,
    init: options.Init = None,
    train_seed: options.TrainSeed = None,
    images: options.Images = None,
    data_root: options.DataRoot = None,
    download: options.Download = False,
    train_data: options.TrainData = None,
    eval_data: options.EvalData = None,
    class_names: options.ClassNames = None,
    name: options.Name = None,
    resize: options.Resize = None,
    crop: options.Crop = None,
    mean: options.Mean = None,
    std: options.Std = None,
    interpolation: options.Interpolation = None,
    batch_size: options.BatchSize = 32,
    workers: options.Workers = 0,
    device: options.Device = "cpu",
    memory: Annotated[
        str,
        typer.Option(
            help="Memory for what is kept of the fault-free runs, as 1GiB; images are taken in lots that fit.",
            rich_help_panel=FAULTS,
        ),
    ] = "2GiB",
    workdir: options.Workdir = Path("runs"),
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Flip single bits in a network's activations, and measure what becomes of its predictions.

    Writes one row a fault (injections) and one row a site (vulnerability). Exit code 3: a gate failed.
    """
    from tgr_cli.steps import inject as step
    from tgr_cli.steps import replay as again

    with session(ctx) as console:
        config = options.configure(step.Config, locals())
        if replay is not None:
            _print_replay(console, again.run(config, replay, console))
            return
        result = step.run(config, console)
        console.wrote(result.injections, result.vulnerability)
    _print_campaign(console, result)
    if result.gate is not None and result.gate.verdict != "passed":
        typer.echo(f"tgr: gate {result.gate.verdict}: {result.gate.sentence}", err=True)
        raise typer.Exit(GATE_FAILED)


def _print_campaign(console: Console, result: "Result") -> None:
    figures = result.network
    if console.as_json:
        network = {
            name: value._asdict() if hasattr(value, "_asdict") else value for name, value in vars(figures).items()
        }
        console.json(
            {
                "run": result.run,
                "faults": result.faults,
                "verified": result.verified,
                "network": network,
                "gate": result.gate and vars(result.gate),
                "sites": result.sites,
                "injections": result.injections,
                "vulnerability": result.vulnerability,
            }
        )
        return
    columns = (
        "site",
        "op",
        "faults",
        "sdc",
        "non-finite",
        "masked",
        "benign",
        "SDC rate",
        "mean dLoss (nats)",
        "interval",
    )
    console.table(f"{result.run}: {result.faults:,} faults", columns, [_cells(row) for row in result.sites])
    console.line(
        f"network, mean over sites: SDC rate {_with_interval(figures.sdc_rate, percent)}, "
        f"with non-finite outcomes {_with_interval(figures.failure_rate, percent)}, "
        f"mean dLoss {_with_interval(figures.mean_dloss, number)} nats"
    )
    if not all(row["per_image"] for row in result.sites):
        console.line(
            "the same over sites whose output depends on the image: "
            f"mean dLoss {_with_interval(figures.mean_dloss_per_image, number)} nats"
        )
    console.line(f"network, weighted by share of MACs (V_CNN): mean dLoss {number(figures.v_cnn_share)} nats")
    if result.verified:
        console.line(f"verified: {result.verified:,} random faults came out the same through full")
    if not all(row["reliable"] for row in result.sites):
        console.note("~ marks intervals that rest on fewer than 30 effective contributions: use more --injections")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    counts = (count(row[name]) for name in ("faults", "sdc", "non_finite", "masked", "benign"))
    interval = f"{number(row['mean_dloss_low'], 3)} to {number(row['mean_dloss_high'], 3)}"
    mark = "" if row["reliable"] else "~"
    rate, dloss = percent(row["sdc_rate"]), number(row["mean_dloss"])
    return row["site"], row["op"], *counts, rate, dloss, mark + interval


def _with_interval(estimate: Any, shown: Callable[[float], str]) -> str:
    return f"{shown(estimate.mean)} ({shown(estimate.low)} to {shown(estimate.high)})"


def _print_replay(console: Console, replay: "Replay") -> None:
    if console.as_json:
        console.json({"row": replay.row, "agrees": replay.agrees, "stored": replay.stored, "again": replay.again})
    else:
        rows = [(name, str(value), str(replay.again[name])) for name, value in replay.stored.items()]
        console.table(f"row {replay.row}", ("column", "stored", "again"), rows)
    if not replay.agrees:
        raise TgrError(
            f"row {replay.row} is stored as {replay.stored['outcome']} and came out as {replay.again['outcome']}; "
            "check that weights, data and library versions are those of the campaign"
        )
