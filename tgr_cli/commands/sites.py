"""`tgr sites`: what a fault can strike in a model."""

from typing import Annotated

import typer

from tgr_cli.commands.console import count
from tgr_cli.commands.options import Crop, Json, Model, Quiet, Target, Targets, configure
from tgr_cli.commands.session import session


def sites(
    ctx: typer.Context,
    model: Model,
    num_classes: Annotated[int, typer.Option(min=1, help="Classes that the model is built for.")] = 1000,
    crop: Crop = None,
    target: Target = "neuron",
    targets: Targets = "conv,linear",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List a model's sites in execution order: operation, shape for one image, and multiply-accumulates.

    With --target weight, bias or buffer: its tensors, with the multiply-accumulates of the operations that read them.
    Needs neither weights nor data.
    """
    from tgr_cli.steps import sites as step

    with session(ctx) as console:
        result = step.run(configure(step.Config, locals()), console)
    if json:
        console.json(
            [
                {
                    "site": site.name,
                    "op": site.op,
                    "shape": site.shape,
                    "neurons": site.neurons,
                    "macs": site.macs,
                    "per_image": site.per_image,
                }
                for site in result.sites
            ]
        )
        return
    rows = [
        (site.name, site.op, "×".join(map(str, site.shape)), count(site.neurons), count(site.macs), _whose(site))
        for site in result.sites
    ]
    if target != "neuron":
        elements = sum(site.neurons for site in result.sites)
        columns = ("tensor", "kind", "shape", "elements", "MACs")
        console.table(f"Tensors of {model}", columns, [row[:-1] for row in rows])
        console.line(f"{len(rows):,} tensors, {elements:,} elements")
        return
    maps, neurons, macs = (
        sum(getattr(site, fact) for site in result.sites) for fact in ("feature_maps", "neurons", "macs")
    )
    console.table(f"Sites of {model}", ("site", "op", "shape", "neurons", "MACs", "output"), rows)
    console.line(f"{len(rows):,} sites, {maps:,} feature maps, {neurons:,} neurons, {macs:,} MACs an image")


def _whose(site: object) -> str:
    return "per image" if getattr(site, "per_image", True) else "shared by all images"
