"""`tgr inject`: run a fault-injection campaign."""

from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from tgr_cli import defaults
from tgr_cli.commands import campaign_options, fault_options, options
from tgr_cli.commands.as_published import AsPublished
from tgr_cli.commands.campaign_output import print_campaign
from tgr_cli.commands.gates import FailOnChange, Junit, MaxDloss, MaxSdcRate, conclude, prepare_junit
from tgr_cli.commands.inject_output import print_exact, print_forecast, print_replay, print_shard, print_surface
from tgr_cli.commands.option_conflicts import refuse_idle
from tgr_cli.commands.session import session

SAMPLING, ENGINE = "Sampling", "Engine"
FAULTS, CAMPAIGN = fault_options.FAULTS, campaign_options.CAMPAIGN


def inject(
    ctx: typer.Context,
    model: options.Model,
    dataset: options.Dataset = defaults.DATASET,
    as_published: AsPublished = None,
    fault_model: Annotated[
        str,
        typer.Option(
            help="What a fault does to the stored word: flip (one bit; flip:bit=30, flip:field=exponent, flip:bits=2), "
            "burst:length=2, stuck:at=1, random (any word), random-value (in the site's range), zero, or a TOML file "
            "that mixes them.",
            rich_help_panel=FAULTS,
        ),
    ] = defaults.FAULT_MODEL,
    pattern: fault_options.Pattern = defaults.PATTERN,
    pattern_file: fault_options.PatternFile = None,
    strike: fault_options.Strike = defaults.STRIKE,
    lasting: fault_options.Lasting = False,
    format: options.Format = None,
    weight_format: options.WeightFormat = None,
    encode: Annotated[
        str | None,
        typer.Option(
            help='Store the struck value alone in this number format (see "tgr formats"); the rest of the network '
            "computes as it is.",
            rich_help_panel=options.FORMATS,
        ),
    ] = None,
    limit: Annotated[
        str,
        typer.Option(
            help="Range limit of a faulty value, by the site's profiled max-abs: clamp, zero (if outside), none; "
            "format where the number format has a range of its own, as int8, which then needs no other limit.",
            rich_help_panel=FAULTS,
        ),
    ] = defaults.LIMIT,
    ranges: Annotated[
        Path | None,
        typer.Option(
            help="Ranges artifact for --limit (default: the run's, else profiled first).", rich_help_panel=FAULTS
        ),
    ] = None,
    target: options.Target = defaults.TARGET,
    targets: options.Targets = defaults.TARGETS,
    label: Annotated[
        str,
        typer.Option(
            help="Class the losses are taken against: true (the data set's) or golden (the fault-free prediction).",
            rich_help_panel=FAULTS,
        ),
    ] = defaults.LABEL,
    all_images: Annotated[
        bool, typer.Option("--all-images", help="Use misclassified images too.", rich_help_panel=FAULTS)
    ] = False,
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
            max=options.MANY,
            help="Re-run one row of the run's injections (or of --faults) and compare the results; write nothing.",
            rich_help_panel=FAULTS,
        ),
    ] = None,
    granularity: Annotated[
        str,
        typer.Option(
            help="What gets --injections faults each: site, map (every feature map of the convolutions; also writes "
            "feature_maps), or channel (every output channel of all operations in --targets; likewise).",
            rich_help_panel=SAMPLING,
        ),
    ] = defaults.GRANULARITY,
    injections: Annotated[
        int,
        typer.Option(min=1, max=options.MANY, help="Faults per site, or per feature map.", rich_help_panel=SAMPLING),
    ] = defaults.INJECTIONS,
    images_per_fault: Annotated[
        int,
        typer.Option(
            min=1,
            max=options.AT_ONCE,
            help="Images that a lasting fault is tried on: one in a weight, bias or buffer, or with --lasting.",
            rich_help_panel=SAMPLING,
        ),
    ] = defaults.IMAGES_PER_FAULT,
    sampling: Annotated[
        str,
        typer.Option(
            help="How faults are drawn: importance (harmful ones more often, with weights), stratified (by bit, after "
            "a pilot), uniform (as in the papers). All estimate the same figures.",
            rich_help_panel=SAMPLING,
        ),
    ] = defaults.SAMPLING,
    target_ci: Annotated[
        str | None,
        typer.Option(
            help="Half-width of the network's interval to reach: sdc=0.005 (absolute) or dloss=0.05 (relative). A "
            "pilot decides the number of faults per site. Replaces --injections.",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    max_injections: Annotated[
        int,
        typer.Option(
            min=1, max=options.MANY, help="Maximum faults per site with --target-ci.", rich_help_panel=SAMPLING
        ),
    ] = defaults.MAX_INJECTIONS,
    pilot: Annotated[
        int,
        typer.Option(
            min=1,
            max=options.MANY,
            help="Pilot faults per site, for stratified sampling and --target-ci; they count in no figure.",
            rich_help_panel=SAMPLING,
        ),
    ] = defaults.PILOT,
    exhaustive: Annotated[
        str | None,
        typer.Option(
            help="last: inject every bit of the last site for every image instead; written to a separate artifact.",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    surface: Annotated[
        list[str] | None,
        typer.Option(
            help="Estimate SDC rate and mean dLoss under this number format, or FORMAT/FAULT_MODEL, of the struck "
            "value; give it once for each. One campaign of about --injections faults a site serves them all.",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option(help="Confidence of the intervals, 0.5 to 0.999999.", rich_help_panel=SAMPLING)
    ] = defaults.CONFIDENCE,
    seed: options.Seed = defaults.SEED,
    engine: Annotated[
        str,
        typer.Option(
            help="auto (the fastest exact one for each site), delta (propagates the change), replay (runs what depends "
            "on the site), full (the oracle), pytorchfi (for comparison).",
            rich_help_panel=ENGINE,
        ),
    ] = defaults.ENGINE,
    memory: Annotated[
        str,
        typer.Option(
            help="Memory limit beyond the loaded model, as 1GiB; images are processed in batches that fit.",
            rich_help_panel=ENGINE,
        ),
    ] = defaults.MEMORY,
    verify: Annotated[
        int,
        typer.Option(
            min=0,
            max=options.MANY,
            help="Re-run this many random faults of the finished campaign with the engine full; a different outcome is "
            "an error.",
            rich_help_panel=ENGINE,
        ),
    ] = defaults.VERIFY,
    jobs: campaign_options.Jobs = None,
    shard: campaign_options.Shard = None,
    nodes: campaign_options.Nodes = None,
    plan: Annotated[
        Path | None, typer.Option(help="Run this stored plan instead of drawing one.", rich_help_panel=CAMPAIGN)
    ] = None,
    plan_only: Annotated[
        bool,
        typer.Option(
            "--plan-only",
            help="Write the plan (to --out, else into the run folder) and print its estimated cost; inject nothing.",
            rich_help_panel=CAMPAIGN,
        ),
    ] = False,
    restart: campaign_options.Restart = False,
    max_sdc_rate: MaxSdcRate = None,
    max_dloss: MaxDloss = None,
    fail_on_change: FailOnChange = None,
    checkpoint: options.Checkpoint = None,
    checkpoint_key: options.CheckpointKey = None,
    weights: options.Weights = None,
    head: options.Head = None,
    init: options.Init = None,
    train_seed: options.TrainSeed = None,
    variant: options.Variant = None,
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
    crop_mode: options.CropMode = None,
    batch_size: Annotated[
        int,
        typer.Option(
            min=0,
            max=options.AT_ONCE,
            help="Images per forward pass; 0 for as many as fit --memory, at most 32.",
            rich_help_panel=ENGINE,
        ),
    ] = defaults.CAMPAIGN_BATCH_SIZE,
    workers: options.Workers = defaults.WORKERS,
    device: options.Device = defaults.DEVICE,
    workdir: options.Workdir = defaults.WORKDIR,
    out: options.Out = None,
    junit: Junit = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Inject faults into a network, single-bit flips by default, and measure their effect on its predictions.

    Writes one row per fault (injections), one row per site (vulnerability) and, with --granularity map, one row per
    feature map (feature_maps). Exit code 3: a gate failed.
    """
    began = perf_counter()
    from tgr_cli.campaign.config import Config
    from tgr_cli.preflight import before

    with session(ctx) as console:
        shard = campaign_options.shard_of_this_task(shard, console)
        config = options.configure(Config, {**locals(), "surface": tuple(surface or ())})
        refuse_idle(ctx)
        before.inject(config, console)
        prepare_junit(junit, max_sdc_rate, max_dloss, fail_on_change)
        from tgr_cli.campaign import exhaustive as everything
        from tgr_cli.campaign import forecast
        from tgr_cli.campaign import replay as again
        from tgr_cli.campaign import surface as over
        from tgr_cli.steps import inject as step

        if replay is not None:
            print_replay(console, again.run(config, replay, console))
            return
        if exhaustive is not None:
            exact = everything.run(config, console)
            console.wrote(exact.path)
            print_exact(console, exact)
            return
        if surface:
            estimated = over.run(config, console)
            console.wrote(estimated.path)
            print_surface(console, estimated)
            return
        if plan_only:
            planned = forecast.run(config, console, began=began)
            console.wrote(planned.path)
            print_forecast(console, planned, nodes)
            return
        result = step.run(config, console)
        if isinstance(result, step.Shard):
            console.wrote(result.path)
        else:
            console.wrote(*result.written.paths)
    if isinstance(result, step.Shard):
        print_shard(console, result)
        return
    print_campaign(console, result.written, gate=result.gate, verified=result.verified)
    conclude(result.gate, f"tgr inject {result.written.run}", junit)
