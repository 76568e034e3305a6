"""`tgr submit`: run a campaign in shards, here or on a cluster, and merge them."""

from typing import Annotated

import typer

from tgr_cli import defaults
from tgr_cli.commands import options
from tgr_cli.commands.campaign_output import print_campaign
from tgr_cli.commands.session import session
from tgr_cli.commands.submitted import parsed
from tgr_cli.errors import TgrError

WHERE, TASK = "Where", "What each task gets"


def submit(
    ctx: typer.Context,
    command: Annotated[
        list[str],
        typer.Argument(
            help='The campaign: "inject" and its options, all after those of tgr submit.', metavar="inject …"
        ),
    ],
    local: Annotated[
        int | None,
        typer.Option(
            min=1, max=options.WORKERS, help="Run on this machine, as this many processes.", rich_help_panel=WHERE
        ),
    ] = None,
    slurm: Annotated[
        bool,
        typer.Option(
            "--slurm", help="Run as a job array of Slurm, on storage that all nodes see.", rich_help_panel=WHERE
        ),
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Run as tasks of the Ray cluster at this address, as 10.0.0.1:6379; auto: that of this machine.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    working_dir: Annotated[
        str | None,
        typer.Option(
            help="With --ray: send this folder, as ., to each node once (or let it fetch an archive, as s3://…/x.zip), "
            "where nodes do not see the folder of this command.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=options.AT_ONCE,
            help="Divide the campaign into this many tasks; with --local, by default, as many as processes.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    retries: Annotated[
        int,
        typer.Option(
            min=0,
            max=options.MANY,
            help="Start a task that was killed again, at most this often; it goes on where it was.",
            rich_help_panel=WHERE,
        ),
    ] = defaults.RETRIES,
    print_script: Annotated[
        bool,
        typer.Option(
            "--print",
            help="Print the script that would run, for Slurm an sbatch array script, and run nothing.",
            rich_help_panel=WHERE,
        ),
    ] = False,
    cancel: Annotated[
        bool,
        typer.Option(
            "--cancel", help="End this campaign's running tasks; what is finished is kept.", rich_help_panel=WHERE
        ),
    ] = False,
    cpus: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=options.WORKERS,
            help="CPUs of a task, and its threads; with --local, by default, an equal share of the cores.",
            rich_help_panel=TASK,
        ),
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(min=1, max=options.WORKERS, help="GPUs of a task.", rich_help_panel=TASK)
    ] = None,
    mem: Annotated[
        str | None, typer.Option(help="Memory of a task, as Slurm writes it: 8G.", rich_help_panel=TASK)
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="Time limit of a task, as Slurm writes it: 04:00:00.", rich_help_panel=TASK)
    ] = None,
    partition: Annotated[str | None, typer.Option(help="Slurm's partition.", rich_help_panel=TASK)] = None,
    account: Annotated[str | None, typer.Option(help="Slurm's account.", rich_help_panel=TASK)] = None,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(
            help='Any other option of sbatch, as --sbatch="--qos=long"; give it once for each.', rich_help_panel=TASK
        ),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run a campaign in shards on this machine or a cluster, wait for them, and merge them.

    The same command goes on after it was killed: what is finished is kept, what runs is found again.
    """
    with session(ctx) as console:
        if print_script and cancel:
            raise TgrError("--print and --cancel are given, and only one of them can be done; leave one out")
        asked = parsed(ctx, command, console)
        from tgr_cli.steps import submit as step

        config = step.Config(
            campaign=asked.config,
            options=asked.options,
            local=local,
            slurm=slurm,
            ray=ray,
            working_dir=working_dir,
            shards=shards,
            retries=retries,
            resources=step.Resources(
                cpus=cpus,
                gpus=gpus,
                mem=mem,
                time=time,
                partition=partition,
                account=account,
                sbatch=tuple(sbatch or ()),
            ),
        )
        if print_script:
            console.text(step.printed(config))
            return
        if cancel:
            console.note(f"{step.cancel(config, console):,} running tasks were ended; what they finished is kept")
            return
        finished = step.run(config, console)
        from tgr_cli.steps import merge

        written = merge.run(merge.Config(shards=finished.shards, out=finished.out), console)
        finished.clear()
        console.wrote(*written.paths)
    print_campaign(console, written)
