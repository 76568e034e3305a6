"""Run a campaign in shards, as processes here or as tasks of a cluster, until all of them are there."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from tgr_cli import defaults
from tgr_cli.artifacts import outputs, store
from tgr_cli.artifacts.layout import RunFolder, Workspace, formats_in_names
from tgr_cli.artifacts.provenance import PATH_PREFIXES, flat, normalised
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.campaign.config import Config as Campaign
from tgr_cli.errors import TgrError
from tgr_cli.models.source import trained_run
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.submit import folder, script, watch
from tgr_cli.submit.division import Division, Task
from tgr_cli.submit.local import Local
from tgr_cli.submit.progress import Progress
from tgr_cli.submit.ray_tasks import Ray
from tgr_cli.submit.runner import Resources, Runner
from tgr_cli.submit.slurm import Slurm

# Options of a campaign that affect none of its rows: a campaign goes on with others.
AROUND = ("jobs", "verify", "restart")
# Options that shards cannot take, and why not.
REFUSED = {
    "shard": "tgr submit numbers the shards itself",
    "plan_only": "tgr submit draws the plan itself",
    "exhaustive": "it is not run in shards",
    "surface": "it is not run in shards",
    "restart": "each start of a shard would discard what is finished; remove the folder of the shards to begin anew",
    "max_sdc_rate": "a gate judges a whole campaign; run tgr inject with it",
    "max_dloss": "a gate judges a whole campaign; run tgr inject with it",
    "fail_on_change": "a gate judges a whole campaign; run tgr inject with it",
}
NOT_SUBMITTED = "--{} cannot be submitted: {}"
PLACES = ("local", "slurm", "ray")
# Options that do nothing in a place.
IDLE = {
    "local": ("gpus", "mem", "time", "partition", "account", "sbatch", "working_dir"),
    "slurm": ("working_dir",),
    "ray": ("mem", "time", "partition", "account", "sbatch"),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """The campaign, the options of `tgr inject` that it was given with, and where and how its shards run.

    One of `local` (number of processes), `slurm` and `ray` (address of a cluster) is given. `shards` is None for as
    many as processes. A killed task is started again at most `retries` times. `working_dir` is what nodes of Ray
    fetch, if they do not see this folder. `resources` are what each task gets.
    """

    campaign: Campaign
    options: tuple[tuple[str, ...], ...]
    local: int | None = None
    slurm: bool = False
    ray: str | None = None
    working_dir: str | None = None
    shards: int | None = None
    retries: int = defaults.RETRIES
    resources: Resources = field(default_factory=Resources)

    def __post_init__(self) -> None:
        if len(given := [place for place in PLACES if getattr(self, place)]) != 1:
            found = " and ".join(f"--{place}" for place in given) or "no place"
            are = "are" if given else "is"
            raise TgrError(
                f"{found} {are} given, where one of --local N, --slurm and --ray ADDRESS is expected; give one"
            )
        for name, why in REFUSED.items():
            if getattr(self.campaign, name) not in (None, False, ()):
                raise TgrError(NOT_SUBMITTED.format(name.replace("_", "-"), why))
        (place,) = given
        if self.shards is None and not self.local:
            raise TgrError(f"--{place} needs --shards N, the number of tasks to divide the campaign into; give it")
        given_options = {"working_dir": self.working_dir, **vars(self.resources)}
        if idle := [f"--{name.replace('_', '-')}" for name in IDLE[place] if given_options[name]]:
            do, them = ("do", "them") if len(idle) > 1 else ("does", "it")
            raise TgrError(f"{' and '.join(idle)} {do} nothing beside --{place}; leave {them} out")

    @property
    def count(self) -> int:
        """Return the number of shards."""
        found = self.shards or self.local
        assert found
        return found


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The shards of a campaign, all finished, the path for what they merge into, and the folder to clear then."""

    shards: tuple[Path, ...]
    out: Path
    folder: Path

    def clear(self) -> None:
        """Remove the shards, which have been merged: the next campaign of this name begins anew."""
        folder.clear(self.folder)


def printed(config: Config) -> str:
    """Return the script that runs the campaign: for Slurm, the one that `run` submits."""
    if config.ray:
        raise TgrError(
            "--ray has no script to print: its tasks send their parts to this command; let the cluster run the command "
            'itself, as in "ray job submit -- tgr submit --ray auto …"'
        )
    out = _out(config)
    division = _division(config, out)
    if config.slurm:
        return script.for_slurm(division, out, "tgr", config.resources, Path.cwd())
    return script.for_processes(division, out, config.resources.cpus, Path.cwd())


def run(config: Config, reporter: Reporter = SILENT) -> Finished:
    """Return the finished shards, after drawing the plan and running those that are not there yet.

    May be killed and called again at any time. Raises TgrError for what cannot be submitted, before anything is; and
    for a task that fails.
    """
    out = _out(config)
    _refuse_other(out, config)
    division = _division(config, out)
    runner = _runner(config, division, out, reporter)
    runner.refuse()
    with folder.held(division.folder):
        runner.begin(folder.name_of(division.folder, _campaign(config)))
        return _run(config, division, runner)


def cancel(config: Config, reporter: Reporter = SILENT) -> int:
    """Return how many tasks were running, and have been ended."""
    out = _out(config)
    division = _division(config, out)
    if not division.folder.is_dir():
        raise TgrError(f"{division.folder} does not exist, so nothing of this campaign was submitted; give its options")
    runner = _runner(config, division, out, reporter)
    runner.refuse()
    with folder.held(division.folder):  # a command that looks after the tasks would start them again
        runner.begin(folder.name_of(division.folder, _campaign(config)))
        tasks = _tasks(division)
        alive = runner.alive(tasks)
        runner.cancel([task for task in tasks if task.number in alive])
    return len(alive)


def _run(config: Config, division: Division, runner: Runner) -> Finished:
    shards = division.shards
    _refuse_damaged(_tasks(division))
    progress = Progress(division, runner.reporter)
    try:
        if division.plan_task and not all(task.output.exists() for task in shards):
            watch.finish([division.plan_task], runner, retries=config.retries, progress=progress.of_plan)
            _refuse_other(_merged(config, division.plan_path), config)
        progress.begin()
        watch.finish(shards, runner, retries=config.retries, progress=progress.of_shards)
    except (KeyboardInterrupt, TgrError) as error:
        _leave(_tasks(division), runner, interrupted=isinstance(error, KeyboardInterrupt))
        raise
    out = _merged(config, shards[0].output)
    _refuse_other(out, config)
    return Finished(shards=tuple(task.output for task in shards), out=out, folder=division.folder)


def _refuse_damaged(tasks: list[Task]) -> None:
    """Raise TgrError if a file that an earlier start has finished cannot be read: it would be taken for the task's."""
    for task in tasks:
        if task.output.exists():
            try:
                store.describe(task.output)
            except TgrError as error:
                raise TgrError(
                    f"{task.output} is damaged, or was not written by tgr; "
                    "remove it, and the same command makes it again"
                ) from error


def _leave(tasks: list[Task], runner: Runner, *, interrupted: bool) -> None:
    """End what runs on this machine, and say what goes on elsewhere."""
    alive = runner.alive(tasks)
    if not runner.outlives:
        runner.cancel([task for task in tasks if task.number in alive])
        if interrupted:
            runner.reporter.note(f"{len(alive)} running tasks were ended; the same command goes on from there")
    elif alive:
        runner.reporter.note(
            f"{len(alive)} tasks go on; the same command finds them again, and with --cancel it ends them"
        )


def _tasks(division: Division) -> list[Task]:
    return [*([division.plan_task] if division.plan_task else []), *division.shards]


def _campaign(config: Config) -> dict[str, Any]:
    """Return what must be equal for the campaign to go on, by dotted names."""
    values = {**normalised(config.campaign), "shards": config.count}
    of_work = flat({name: value for name, value in values.items() if name not in AROUND})
    return of_work | {"files": sorted(_files(config.campaign))}


def _files(settings: Any) -> Iterator[str]:
    """Yield the paths of what is read, which `normalised` leaves out."""
    for each in fields(settings):
        value = getattr(settings, each.name)
        if is_dataclass(value):
            yield from _files(value)
        elif isinstance(value, Path) and each.name not in outputs.WRITTEN_TO:
            yield str(value)
        elif isinstance(value, str) and value.startswith(PATH_PREFIXES):
            yield value


def _runner(config: Config, division: Division, out: Path, reporter: Reporter) -> Runner:
    if config.local:
        return Local(config.local, config.resources, reporter)
    if config.ray:
        return Ray(config.ray, config.working_dir, division, config.resources, reporter)

    def script_of(name: str) -> str:
        return script.for_slurm(division, out, name, config.resources, Path.cwd())

    return Slurm(division.folder / "campaign.sh", script_of, reporter)


def _division(config: Config, out: Path) -> Division:
    campaign = config.campaign
    of_shards = ("--verify",) if campaign.verify else ()
    of_pilot = () if campaign.needs_pilot else ("--jobs",)
    of_precision = () if campaign.precision else ("--confidence",)
    return Division(
        options=config.options,
        folder=folder.beside(out),
        count=config.count,
        plan=campaign.plan,
        listed=campaign.faults is not None,
        unplanned=frozenset((*of_shards, *of_pilot, *of_precision)),
    )


def _out(config: Config) -> Path:
    """Return where the merged campaign goes, as far as names tell: a model of other weights has a folder beside."""
    campaign = config.campaign
    if campaign.out:
        return campaign.out
    workspace = Workspace(campaign.workdir, campaign.data.folder)
    source = campaign.source
    run = trained_run(source, workspace) or workspace.run(source.model, source.head or defaults.HEAD)
    return RunFolder(run.path, campaign.target, formats_in_names(campaign.format, campaign.weight_format)).injections


def _merged(config: Config, made: Path) -> Path:
    """Return where the merged campaign goes, by the run that `made`, its plan or a shard, names."""
    campaign = config.campaign
    if campaign.out:
        return campaign.out
    facts = store.describe(made)[1]
    path = Workspace(campaign.workdir, campaign.data.folder).path / facts.extra["run"]
    return RunFolder(path, campaign.target, formats_in_names(*facts.deployed_in)).injections


def _refuse_other(out: Path, config: Config) -> None:
    """Raise TgrError if the merged campaign would replace something else, as `tgr inject` does."""
    outputs.refuse_loss(out, INJECTIONS.kind, config.campaign)
    if out.exists():
        from tgr_cli.campaign.replacing import refuse_other_faults

        refuse_other_faults(out, INJECTIONS.kind, config.campaign)
