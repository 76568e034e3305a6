"""Write a report on one or more runs, as a single HTML page made from their artifacts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tgr_cli import defaults
from tgr_cli.artifacts import measurements, store
from tgr_cli.artifacts.columns import Schema
from tgr_cli.artifacts.fault_facts import scaled_format_of
from tgr_cli.artifacts.layout import RunFolder, Workspace, feature_maps_beside
from tgr_cli.artifacts.measurements import measured_run
from tgr_cli.artifacts.schemas import INJECTIONS, RANGES, TRAINING, VULNERABILITY
from tgr_cli.artifacts.store import Artifact
from tgr_cli.campaign import comparable, confidences, feature_maps, results, runs
from tgr_cli.campaign.beside_published import beside_published
from tgr_cli.campaign.comparable import Difference
from tgr_cli.campaign.comparison import of_folders as compare_folders
from tgr_cli.campaign.comparison import stored as stored_comparison
from tgr_cli.campaign.leaderboard import groups as campaigns_under
from tgr_cli.campaign.struck_fields import struck_fields
from tgr_cli.data.source import DataSource
from tgr_cli.errors import TgrError
from tgr_cli.metrics import breakdown, population, summary
from tgr_cli.metrics.feature_maps import MapStudy
from tgr_cli.report import across_runs, comparison, leaderboard, lineage, page, pictures, sections
from tgr_cli.report import summary as words
from tgr_cli.report.figure import Said, Section
from tgr_cli.report.measured import FaultBreakdown, Rerun, Run
from tgr_cli.report.words import listed
from tgr_cli.reporting import SILENT, Reporter

OF_INJECTIONS = (*breakdown.COLUMNS, "dloss", "value_before")  # columns that are read
SHOWN = ("golden", "ranges", "training", "injections", "vulnerability")  # artifacts of a run that the page shows


@dataclass(frozen=True, kw_only=True)
class Config:
    """The runs, baseline first, by name within the data set's folder or by path (`artifacts.measurements`).

    A run is followed by its deployments in number formats, unless one of these is named. `count_by` is the unit of
    counting for re-running (`metrics.population`), `allow_different` the settings in which compared runs may differ
    (`campaign.comparable`), `png` a folder for a PNG of every plot. `leaderboard` is a folder whose campaigns are
    listed instead.
    """

    runs: Sequence[str] = ()
    leaderboard: Path | None = None
    dataset: str = defaults.DATASET
    name: str | None = None
    count_by: str = defaults.COUNT_BY
    allow_different: Sequence[str] = ()
    workdir: Path = defaults.WORKDIR
    out: Path | None = None
    png: Path | None = None

    def __post_init__(self) -> None:
        population.check(self.count_by, None)
        comparable.check(self.allow_different)
        if self.leaderboard and self.runs:
            raise TgrError("--leaderboard is of all campaigns under a folder; leave it out, or the runs")
        if self.leaderboard and self.png:
            raise TgrError("--png is of plots, and a leaderboard has none; leave one out")
        if not (self.runs or self.leaderboard):
            raise TgrError(
                "there is no run to report on; name at least one run folder, the baseline first, as in "
                '"tgr report resnet20-baseline --dataset cifar10", or give --leaderboard FOLDER'
            )


@dataclass(frozen=True)
class Result:
    """The path of the page, and the PNG files of its plots."""

    path: Path
    pictures: list[Path]


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Collect the runs' artifacts and write the page; raises TgrError where they do not belong together."""
    if config.leaderboard:
        return Result(_leaderboard(config, config.leaderboard, reporter), [])
    workspace = Workspace(config.workdir, DataSource(dataset=config.dataset, name=config.name).folder)
    named = [measured_run(workspace, name) for name in config.runs]
    path = _prepared(config, workspace.report)
    if config.png:
        pictures.prepare(config.png)
    folders, measured = list[RunFolder](), list[Run]()
    for folder in _with_deployments(named, reporter):
        reporter.progress("runs read", len(folders), len(named))
        try:
            run = _measured(folder, config.count_by, reporter)
            _refuse_unlike(measured, run)
        except TgrError as error:
            if folder in named:
                raise
            reporter.note(f"{folder.called}, which was not named, is left out: {error}")
            continue
        folders.append(folder)
        measured.append(run)
    if not measured:
        raise TgrError(f"no measurement of {listed(config.runs)} can be shown, as told above; measure them again")
    compared, differing = _compared(config, workspace, folders, measured, reporter)
    made = page.Page(
        f"Resilience of {workspace.dataset} classifiers",
        words.opening(workspace.dataset, measured),
        list(_sections(workspace, folders, measured, compared, differing)),
    )
    with store.replacing(path) as temporary:
        temporary.write_text(page.html(made), encoding="utf-8")
    return Result(path, pictures.write(config.png, made, reporter) if config.png else [])


def _leaderboard(config: Config, folder: Path, reporter: Reporter) -> Path:
    if not folder.is_dir():
        raise TgrError(f"--leaderboard is {folder}, which is no folder; name the one that holds the runs")
    path = _prepared(config, folder / "leaderboard.html")
    found = [leaderboard.Ranked(**vars(group)) for group in campaigns_under(folder, reporter)]
    with store.replacing(path) as temporary:
        temporary.write_text(leaderboard.html(found), encoding="utf-8")
    return path


def _prepared(config: Config, usual: Path) -> Path:
    path = store.prepare(config.out or usual, "page", config)
    if path.suffix == ".parquet":
        raise TgrError(f"--out is {path}, and the report is a page; name a file that ends in .html")
    return path


def _with_deployments(named: Sequence[RunFolder], reporter: Reporter) -> list[RunFolder]:
    """Return the measurements, each of a model as it is followed by its deployments, unless one of these is named.

    A model that was measured in deployments only is left out itself.
    """
    explicit = {(folder.path, folder.target) for folder in named if folder.formats}
    every = list[RunFolder]()
    for folder in named:
        own = not folder.formats and (folder.path, folder.target) not in explicit
        found = measurements.deployments(folder) if own else []
        if found and not (folder.golden.exists() or folder.injections.exists()):
            reporter.note(f"{folder.called} was measured as it is deployed only: {listed([f.called for f in found])}")
            every += found
        else:
            every += [folder, *found]
    return every


def _measured(folder: RunFolder, count_by: str, reporter: Reporter) -> Run:
    """Return the artifacts of one run, checked to be of one model."""
    name = folder.called
    if not any(getattr(folder, what).exists() for what in SHOWN):
        raise TgrError(
            f'{folder.path} has no artifacts for a report; run "tgr evaluate" or "tgr inject" on the model first'
        )
    golden = runs.read_golden(folder.golden)[1] if folder.golden.exists() else None
    profiled, trained = _read(folder.ranges, RANGES), _read(folder.training, TRAINING)
    vulnerability_, faults, network, rerun = None, None, None, None
    injections = _read(folder.injections, INJECTIONS, OF_INJECTIONS)
    if injections:
        vulnerability_ = store.read(folder.vulnerability, VULNERABILITY)
        runs.refuse_other_campaign(injections, vulnerability_)
        runs.refuse_other_sites(injections, vulnerability_)
    reference = golden or injections or profiled
    for artifact in (injections, vulnerability_, profiled):
        if reference and artifact:
            runs.refuse_other_model(reference, artifact)
    if trained and reference and trained.provenance.model != reference.provenance.model:
        reporter.note(f"{name}: its training curves are left out, as {trained.path} is of other weights")
        trained = None
    if injections and vulnerability_:
        campaign = injections.provenance.config
        injected = confidences.injected(injections, count_by, None)
        assert injected is not None, "a campaign without a fault"
        form = _struck_format(injections)
        field_N = struck_fields(injections, form)
        faults = FaultBreakdown.of(injected.struck, form, campaign["confidence"], field_N)
        if golden:
            rerun = Rerun.of(confidences.golden(golden), injected, campaign["confidence"])
        network = summary.network(
            vulnerability_.table.to_pylist(), results.read(injections.table, campaign), campaign["confidence"]
        )
    own, maps = RunFolder(folder.path).called, _maps(name, folder.injections, reporter) if injections else None
    return Run(name, golden, profiled, trained, vulnerability_, faults, network, rerun, own, maps)


def _maps(name: str, injections: Path, reporter: Reporter) -> MapStudy | None:
    """Return what a campaign tells of feature maps; None, with a note, if its faults have them and their file lacks."""
    study = feature_maps.study(injections, required=False)
    if study is None and "feature_maps" in store.describe(injections)[1].extra:
        reporter.note(
            f"{name}: its feature maps are left out, as {feature_maps_beside(injections)} does not exist; run the same "
            '"tgr inject --granularity map" again to make it'
        )
    return study


def _struck_format(injections: Artifact) -> Mapping[str, Any]:
    """Return the facts of the format that struck values are stored in; earlier campaigns recorded its name alone."""
    recorded: Mapping[str, Any] | None = injections.provenance.extra.get("struck_format")
    if recorded is None:
        from tgr_cli.faults.formats import format_named  # imported here: it loads torch, which other files do not need

        recorded = format_named(injections.provenance.number_format).facts
    if scaled := scaled_format_of(injections.provenance):
        recorded = {**recorded, "name": f"{recorded['name']}, scale of {scaled}"}
    return recorded


def _read(path: Path, schema: Schema, columns: Sequence[str] | None = None) -> Artifact | None:
    return store.read(path, schema, columns=columns) if path.exists() else None


def _refuse_unlike(before: Sequence[Run], last: Run) -> None:
    """Raise TgrError if a run has the name of one before, or was evaluated on other images."""
    if last.name in [run.name for run in before]:
        raise TgrError(f'two of the runs are called "{last.name}"; name each once, or rename the folder of one')
    evaluated = next((run for run in before if run.golden), None)
    if evaluated and evaluated.golden and last.golden:
        runs.refuse_other_images(evaluated.golden, last.golden)


def _compared(
    config: Config,
    workspace: Workspace,
    folders: Sequence[RunFolder],
    measured: Sequence[Run],
    reporter: Reporter,
) -> tuple[Sequence[comparison.Row], list[Difference]]:
    """Return the `comparison` rows of every complete run against the first, stored or computed, and their differences.

    The second list contains the settings in which campaigns differ from the first one's. Runs with a difference that is
    not allowed have no row.
    """
    able = [folder for folder, run in zip(folders, measured, strict=True) if run.golden and run.vulnerability]
    if not able or able[0] is not folders[0] or len(able) < 2:
        return [], []
    stored, allowed = stored_comparison(workspace.comparison, able)
    allowed = [*config.allow_different, *allowed]
    first, differing = measured[0], list[Difference]()
    assert first.vulnerability is not None
    for run in measured[1:]:
        if run.golden and run.vulnerability:
            theirs, ours = first.vulnerability.provenance, run.vulnerability.provenance
            differing += comparable.differences(first.name, theirs, run.name, ours, allowed)
    return stored or compare_folders(able[0], able[1:], allowed, reporter), differing


def _sections(
    workspace: Workspace,
    folders: Sequence[RunFolder],
    measured: Sequence[Run],
    compared: Sequence[comparison.Row],
    differing: Sequence[Difference],
) -> Iterator[Section]:
    yield Section("summary", "Summary", [*words.sentences(measured), *comparison.sentences(compared)])
    yield Section("measured", "What was measured", blocks=[words.measured(measured)])
    told = [Said(each.candidate, _told(each)) for each in differing]
    if compared:
        campaigns = {run.name: run.vulnerability.provenance for run in measured if run.vulnerability}
        beside = beside_published(campaigns, compared)
        yield Section(
            "comparison",
            "Comparison",
            [*told, *(Said("Published", f"{sentence}.") for sentence in beside.sentences if beside.rows)],
            blocks=[comparison.table(compared), *([comparison.published_table(beside.rows)] if beside.rows else [])],
            figures=[comparison.figure(compared)],
        )
    elif differing and any(each.refused for each in differing):
        yield Section("comparison", "Comparison", told)
    elif len(measured) > 1:
        missing = sections.lacking(measured, "golden", "tgr evaluate")
        missing += sections.lacking(measured, "faults", "tgr inject")
        yield Section("comparison", "Comparison", missing=missing)
    else:
        lone = "There is one run; name more, the baseline first, for a comparison."
        yield Section("comparison", "Comparison", missing=[lone])
    yield from sections.plotted(measured)
    yield from across_runs.sections(workspace, folders)
    made = list(lineage.artifacts(workspace, [folder.path for folder in folders]))
    yield Section("lineage", "Lineage", blocks=[lineage.table(made)])


def _told(difference: Difference) -> str:
    """Return a sentence on the difference, and on whether the runs are compared anyway."""
    if not difference.refused:
        return f"{difference.sentence}."
    if difference.name not in comparable.MAY_DIFFER:
        return f"{difference.sentence}, which cannot be compared."
    option = f'"--allow-different {difference.name}"'
    return f"{difference.sentence}, so the two are not compared; {option} compares them all the same."
