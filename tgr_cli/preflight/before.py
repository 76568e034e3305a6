"""The inputs of each command, checked before torch is loaded; all missing ones are reported in one message."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tgr_cli.artifacts.layout import Workspace
from tgr_cli.campaign.config import Config as Campaign
from tgr_cli.data.source import DataSource
from tgr_cli.errors import TgrError
from tgr_cli.models import names
from tgr_cli.models.source import ModelSource, trained_run
from tgr_cli.paths import place
from tgr_cli.preflight import needs
from tgr_cli.preflight.needs import MissingInput
from tgr_cli.reporting import Reporter
from tgr_cli.training import recipes
from tgr_cli.training.recipe import Overrides

MEASURED = ("golden", "injections", "vulnerability")


def inject(config: Campaign, reporter: Reporter) -> None:
    """Check the images, the weights, the files named by options, and the images for profiling range limits."""
    data, source = config.data, config.source
    files = (
        needs.file(config.plan, "--plan", 'run "tgr inject --plan-only" first'),
        needs.file(config.faults, "--faults", "name a CSV file of faults or an injections artifact"),
        needs.file(config.pattern_file, "--pattern-file", "name a TOML or JSON file of patterns"),
        needs.file(config.ranges, "--ranges", 'run "tgr profile-ranges" first'),
    )
    along = None
    if (
        (config.limit != "none" or config.format or config.encode or config.surface)
        and config.target == "neuron"
        and config.ranges is None
    ):
        along = _ranges(data, source, config.workdir)
    needs.model(source, data, config.workdir, [*needs.images(data, "eval"), *files], along=along, reporter=reporter)


def _ranges(
    data: DataSource,
    source: ModelSource,
    workdir: Path,
    why: str = "range limits are profiled on them: name others with --train-data PATH, or use --limit none",
) -> MissingInput | None:
    """Return missing training images, if ranges are still to be profiled on them, else None; `why` says what for."""
    workspace = Workspace(workdir, data.folder)
    names.refuse_unknown(source.model)
    run = trained_run(source, workspace) or workspace.run(source.model, source.head or "baseline")
    missing = [] if run.ranges.exists() else needs.images(data, "train")
    if not missing or missing[0] is None:
        return None
    return MissingInput(missing[0].what, f"{why}; without any, the evaluation images are used")


def evaluate(
    data: DataSource, source: ModelSource, workdir: Path, reporter: Reporter, *, calibrated: bool = False
) -> None:
    """Check the evaluation images and the weights, and the images for profiling ranges if they are `calibrated` to."""
    why = "the scales of --format, if it has any, are fitted to values on them: name others with --train-data PATH"
    along = _ranges(data, source, workdir, why) if calibrated else None
    needs.model(source, data, workdir, needs.images(data, "eval"), along=along, reporter=reporter)


def profile_ranges(data: DataSource, source: ModelSource, workdir: Path, reporter: Reporter) -> None:
    """Check the images to profile on (training, or else evaluation) and the weights."""
    train = needs.images(data, "train")
    nothing = train if needs.images(data, "eval") else []
    needs.model(source, data, workdir, nothing, reporter=reporter)


def choices(recipe: str, model: str, data: DataSource, overrides: Overrides) -> None:
    """Raise TgrError for an unknown model or an invalid recipe or training setting."""
    names.refuse_unknown(model)
    names.refuse_untrainable(model)
    recipes.resolve(recipe, model, data.folder, overrides.given())


def train(
    data: DataSource, model: str, workdir: Path, *, init: str | None, embeddings: Path | None, checkpoint: Path | None
) -> None:
    """Check both splits, the class embeddings of a text head (`init`: which), and the weights to start from."""
    made = None
    if init is not None:
        made = needs.embeddings(embeddings, Workspace(workdir, data.folder), data.dataset, init)
    ways = "name a safetensors file or a state dict saved by torch"
    needs.refuse([*needs.images(data, "train", "eval"), made, needs.file(checkpoint, "--checkpoint", ways)])


def embed(
    described: Path | None, dataset: str, from_file: Path | None, rows: Path | None, clip: tuple[str, str] | None
) -> None:
    """Check the descriptions, the files named by options, and the weights of the text encoder `clip`, if any."""
    from tgr_cli.text import clip_weights  # imported here: only this command needs it

    found: list[MissingInput | None] = []
    if described is not None and not described.exists():
        found.append(MissingInput(f"{described} does not exist", f'run "tgr describe --dataset {dataset}" first'))
    found.append(needs.file(from_file, "--from-file", "name a .npy or .pth file with --from-file"))
    found.append(needs.file(rows, "--rows", "name a file of row numbers"))
    if clip is not None:
        try:
            clip_weights.demand_a_source(*clip)
        except TgrError as error:
            found.append(MissingInput.told(error))
    needs.refuse(found)


def compare(workspace: Workspace, runs: Sequence[str]) -> None:
    """Check the runs and their measurements."""
    needs.refuse(needs.run_artifacts(workspace, runs, MEASURED))


def fit(workspace: Workspace, runs: Sequence[str]) -> None:
    """Check the runs and their campaigns; a file is read by the step."""
    named = [run for run in runs if not place(run).is_file()]
    needs.refuse(needs.run_artifacts(workspace, named, ("injections",)))


def protect(workspace: Workspace, runs: Sequence[str], rerun_with: str | None) -> None:
    """Check the runs, their golden runs and campaigns, and the golden run of the model that re-runs, if it is named."""
    found = needs.run_artifacts(workspace, runs, ("golden", "injections"))
    needs.refuse(found + needs.run_artifacts(workspace, [rerun_with] if rerun_with else [], ("golden",)))


def report(workspace: Workspace, runs: Sequence[str]) -> None:
    """Check the runs; the report itself says how to create measurements that are missing."""
    needs.refuse(needs.run_artifacts(workspace, runs, ()))


def top2diff_sweep(workspace: Workspace, runs: Sequence[str], files: Sequence[Path]) -> None:
    """Check the runs, their `golden` artifacts, and the artifacts named by options."""
    named = [MissingInput(f"{path} does not exist", 'run "tgr evaluate" first') for path in files if not path.exists()]
    found = [*needs.run_artifacts(workspace, runs, ("golden",)), *named]
    if not runs and not files and not any(workspace.path.glob("*/golden*.parquet")):
        found.append(
            MissingInput(
                f"no run in {workspace.path} has golden.parquet",
                'run "tgr evaluate" first, or name artifacts with --golden',
            )
        )
    needs.refuse(found)


def cam(data: DataSource, runs: Sequence[str], source: ModelSource | None, workdir: Path, reporter: Reporter) -> None:
    """Check the images, the grad-cam package, the runs, and the weights of the named model."""
    package = MissingInput("tgr cam needs the grad-cam package", "run: pip install 'tgr[cam]'")
    found: list[MissingInput | None] = [None if find_spec("pytorch_grad_cam") else package, *needs.images(data, "eval")]
    found += needs.run_artifacts(Workspace(workdir, data.folder), runs, ())
    if source is None:
        needs.refuse(found)
    else:
        needs.model(source, data, workdir, found, reporter=reporter)
