"""`tgr datasets`: the named data sets and their folders."""

from dataclasses import asdict

import typer

from tgr_cli.commands.options import DataRoot, Json, configure
from tgr_cli.commands.session import session


def datasets(ctx: typer.Context, data_root: DataRoot = None, json: Json = False) -> None:
    """List the named data sets: classes, folder, whether they are present, and how to get them."""
    from tgr_cli.steps import datasets as step

    with session(ctx) as console:
        rows = step.run(configure(step.Config, locals()), console)
    if json:
        console.json([asdict(row) for row in rows])
        return
    cells = [
        (row.name, str(row.classes), row.looked_for or "-", "yes" if row.found else "no", row.how_to_get)
        for row in rows
    ]
    console.table("Data sets", ("name", "classes", "looked for at", "found", "how to get it"), cells)
    console.line("Your own: imagefolder:PATH (train/, val/; a folder a class) or parquet:PATH (columns image, label).")
