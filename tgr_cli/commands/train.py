"""`tgr train`: a classifier with a baseline, cosine or text-initialised head."""

import typer

from tgr_cli import defaults
from tgr_cli.commands import options as o
from tgr_cli.commands import recipe_output
from tgr_cli.commands import train_options as t
from tgr_cli.commands.console import Console, count, in_percent, number
from tgr_cli.commands.session import session


def train(
    ctx: typer.Context,
    model: o.Model,
    dataset: o.Dataset = defaults.DATASET,
    head: t.Head = defaults.HEAD,
    init: t.Init = None,
    embeddings: t.Embeddings = None,
    embedding_dim: t.EmbeddingDim = None,
    recipe: t.Recipe = defaults.RECIPE,
    print_recipe: t.PrintRecipe = False,
    epochs: t.Epochs = None,
    batch_size: t.BatchSize = None,
    optimizer: t.Optimizer = None,
    lr: t.Lr = None,
    momentum: t.Momentum = None,
    weight_decay: t.WeightDecay = None,
    decay: t.Decay = None,
    schedule: t.Schedule = None,
    step_size: t.StepSize = None,
    gamma: t.Gamma = None,
    warmup_epochs: t.WarmupEpochs = None,
    min_lr: t.MinLr = None,
    clip_grad_norm: t.ClipGradNorm = None,
    label_smoothing: t.LabelSmoothing = None,
    mixup: t.Mixup = None,
    cutmix: t.Cutmix = None,
    augment: t.Augment = None,
    random_erasing: t.RandomErasing = None,
    repeats: t.Repeats = None,
    ema_decay: t.EmaDecay = None,
    ema_every: t.EmaEvery = None,
    amp: t.Amp = None,
    sync_bn: t.SyncBn = None,
    dropout: t.Dropout = None,
    dropout_sites: t.DropoutSites = None,
    stimulated: t.Stimulated = None,
    stimulated_sites: t.StimulatedSites = None,
    stimulated_bits: t.StimulatedBits = None,
    checkpoint: t.Checkpoint = None,
    checkpoint_key: o.CheckpointKey = None,
    freeze_head: t.FreezeHead = False,
    freeze_backbone: t.FreezeBackbone = False,
    seed: o.Seed = defaults.SEED,
    variant: t.Variant = None,
    resume: t.Resume = False,
    checkpoint_every: t.CheckpointEvery = None,
    compile: t.Compile = False,
    images: t.Images = None,
    data_root: o.DataRoot = None,
    download: o.Download = False,
    train_data: o.TrainData = None,
    eval_data: o.EvalData = None,
    class_names: o.ClassNames = None,
    name: o.Name = None,
    resize: o.Resize = None,
    crop: o.Crop = None,
    mean: o.Mean = None,
    std: o.Std = None,
    interpolation: o.Interpolation = None,
    crop_mode: o.CropMode = None,
    workers: o.Workers = defaults.WORKERS,
    device: o.Device = defaults.DEVICE,
    workdir: o.Workdir = defaults.WORKDIR,
    out: t.Out = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a classifier on the train split and validate it after every epoch. The head is the only difference.

    On several devices: torchrun --nproc-per-node N -m tgr_cli train …
    """
    from dataclasses import asdict

    from tgr_cli.data.source import DataSource
    from tgr_cli.preflight import before, named
    from tgr_cli.training.head_options import refuse_meaningless
    from tgr_cli.training.recipe import Overrides

    named.refuse_unknown(ctx.params)
    refuse_meaningless(head, init, embeddings, embedding_dim)
    before.choices(recipe, model, o.configure(DataSource, locals()), o.configure(Overrides, locals()))
    if not print_recipe:
        starts = None if head != "text" else init or defaults.INIT
        data = o.configure(DataSource, locals())
        before.train(data, model, workdir, init=starts, embeddings=embeddings, checkpoint=checkpoint)
    from tgr_cli.steps import train as step

    config = o.configure(step.Config, locals())
    if print_recipe:
        recipe_output.print_recipe(Console(quiet=quiet, as_json=json), config.resolved())
        return
    # Hold the folder's lock until the run records are written: they belong to this run.
    with step.held(config), session(ctx) as console:
        result = step.run(config, console)
        if not result.first:
            return
        console.facts["epochs"] = [asdict(cost) for cost in result.costs]
        console.wrote(*result.written)
    if json:
        console.json(
            {
                "run": result.run.name,
                "params": result.card.params,
                "weights": result.run.weights,
                "training": [asdict(epoch) for epoch in result.epochs],
            }
        )
        return
    last = result.epochs[-1]
    console.table(
        result.run.name,
        ("parameters", "epochs", "train loss (nats)", "validation loss (nats)", "top-1 (%)", "top-5 (%)"),
        [
            (
                count(result.card.params),
                count(last.epoch),
                number(last.train_loss),
                number(last.val_loss),
                in_percent(last.val_top1),
                in_percent(last.val_top5),
            )
        ],
    )
