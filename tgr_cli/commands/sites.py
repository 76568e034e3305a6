"""`tgr sites`: the fault sites of a model."""

from typing import Annotated

import typer

from tgr_cli import defaults
from tgr_cli.commands import options as o
from tgr_cli.commands.console import count
from tgr_cli.commands.options import Crop, Json, Model, Quiet, Target, Targets, configure
from tgr_cli.commands.session import session


def sites(
    ctx: typer.Context,
    model: Model,
    num_classes: Annotated[
        int, typer.Option(min=1, max=o.MANY, help="Classes that the model is built for.")
    ] = defaults.NUM_CLASSES,
    crop: Crop = None,
    mean: o.Mean = None,
    std: o.Std = None,
    target: Target = defaults.TARGET,
    targets: Targets = defaults.TARGETS,
    margin: Annotated[
        float | None,
        typer.Option(help="Also print how many faults estimate a site's failure rate to ± this (Leveugle, DATE 2009)."),
    ] = None,
    confidence: Annotated[
        float, typer.Option(help="Confidence of that margin, 0.5 to 0.999999.")
    ] = defaults.CONFIDENCE,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List a model's sites in execution order: operation, shape for one image, and multiply-accumulates.

    With --target weight, bias or buffer: its tensors, with the multiply-accumulates of the operations that read them.
    Needs neither weights nor data. With --margin: each site's population (the bits of its elements in one inference),
    and the number of uniformly drawn faults that estimates a failure rate to within the margin, whatever the rate.
    """
    with session(ctx) as console:
        from tgr_cli.steps import sites as step

        result = step.run(configure(step.Config, locals()), console)
    sizes: list[tuple[int, ...]] = [*zip(result.populations, result.samples, strict=True)] or [()] * len(result.sites)
    if json:
        console.json(
            [
                {
                    "site": site.name,
                    "op": site.op,
                    "shape": site.shape,
                    "neurons": site.neurons,
                    "feature_maps": maps,
                    "macs": site.macs,
                    "per_image": site.per_image,
                    **dict(zip(("population", "sample"), size, strict=False)),
                }
                for site, size, maps in zip(result.sites, sizes, result.feature_maps, strict=True)
            ]
        )
        return
    columns = ("site", "op", "shape", "neurons", "MACs", "output", *(("population", "faults") if margin else ()))
    rows = [
        (
            *(site.name, site.op, "×".join(map(str, site.shape)), count(site.neurons), count(site.macs), _whose(site)),
            *map(count, size),
        )
        for site, size in zip(result.sites, sizes, strict=True)
    ]
    neurons, macs = (sum(getattr(site, fact) for site in result.sites) for fact in ("neurons", "macs"))
    maps = sum(result.feature_maps)
    if target == "neuron":
        console.table(f"Sites of {model}", columns, rows)
        console.line(f"{len(rows):,} sites, {maps:,} feature maps, {neurons:,} neurons, {macs:,} MACs an image")
    else:
        shown = ("tensor", "kind", "shape", "elements", "MACs", *columns[6:])
        console.table(f"Tensors of {model}", shown, [(*row[:5], *row[6:]) for row in rows])
        console.line(f"{len(rows):,} tensors, {neurons:,} elements")
    if margin:
        console.line(
            f"{sum(result.samples):,} faults in all tell each site's rate to ± {margin:g} on one image; "
            f"over many images a site takes up to {result.unbounded:,}"
        )


def _whose(site: object) -> str:
    return "per image" if getattr(site, "per_image", True) else "shared by all images"
