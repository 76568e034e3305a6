"""`tgr models`: the models known by name."""

import typer

from tgr_cli.commands.options import Json, Quiet
from tgr_cli.commands.session import session


def models(ctx: typer.Context, json: Json = False, quiet: Quiet = False) -> None:
    """List the models with input size, parameters, multiply-accumulates, and the overhead of the text-guided head.

    With 1000 classes and embeddings of 512 dimensions. Other models: torchvision:NAME, timm:NAME, hf-hub:REPO,
    onnx:FILE and module:function.
    """
    from dataclasses import asdict

    from tgr_cli.steps import models as step

    with session(ctx) as console:
        rows = step.run(console)
    if json:
        console.json([asdict(row) for row in rows])
        return
    console.table(
        "Models at 1000 classes; text: what the text-guided head adds",
        ("model", "input", "params (M)", "MACs (M)", "text: params (M)", "text: MACs (M)"),
        [
            (
                row.name,
                "×".join(map(str, row.input_size)),
                f"{row.params / 1e6:.2f}",
                f"{row.macs / 1e6:,.1f}",
                f"{row.text_params_delta / 1e6:+.2f}",
                f"{row.text_macs_delta / 1e6:+.2f}",
            )
            for row in rows
        ],
    )
