"""`tgr demo`: the whole method, offline."""

import shlex
from typing import Annotated

import typer

from tgr_cli import defaults
from tgr_cli.commands import options
from tgr_cli.commands import options as o
from tgr_cli.commands.console import Console


def demo(
    ctx: typer.Context,
    injections: Annotated[int, typer.Option(min=1, max=o.MANY, help="Faults a site.")] = defaults.INJECTIONS,
    workdir: options.Workdir = defaults.WORKDIR,
) -> None:
    """Run the whole method offline on embedded digits, printing each command before it runs."""
    from tgr_cli.steps import demo as step

    console = Console()
    root = ctx.find_root().command
    common = ["--dataset", "digits", "--workdir", str(workdir)]
    stages = step.stages(injections)
    for number, stage in enumerate(stages, start=1):
        arguments = [*stage.arguments, *common]
        shown = shlex.join(["tgr", *arguments])
        console.line(f"\n[{number}/{len(stages)}] {stage.purpose}\n$ {shown}")
        if code := root.main(args=arguments, prog_name="tgr", standalone_mode=False, obj=shown):
            raise typer.Exit(code)  # interrupted by Ctrl-C
    folder = workdir / "digits"
    console.line(f"\nEverything is under {folder}; nothing else was written. Open {folder / 'report.html'}, then try:")
    for arguments in (
        ["show", str(folder / step.RUNS["text"] / "vulnerability.parquet")],
        ["inject", "--model", step.MODEL, "--head", "text", "--replay", "0", *common],
        ["models"],
        ["describe", "--dataset", "cifar10"],
    ):
        console.line(f"  {shlex.join(['tgr', *arguments])}")
