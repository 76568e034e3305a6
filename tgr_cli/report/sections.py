"""The sections of plots, in the order of the page: a plot is a function `figures` of the runs, in a file of its own."""

from collections.abc import Iterator, Sequence

from tgr_cli.report import bits, confidence, feature_maps, fields, formats, ranges, training, vulnerability
from tgr_cli.report.figure import Section
from tgr_cli.report.measured import Run
from tgr_cli.report.words import listed


def plotted(runs: Sequence[Run]) -> Iterator[Section]:
    """Yield the sections of plots; one for which no run has the artifact says which command makes it."""
    injected, evaluated = lacking(runs, "faults", "tgr inject"), lacking(runs, "golden", "tgr evaluate")
    trained = [next(run for run in runs if run.folder == folder) for folder in dict.fromkeys(r.folder for r in runs)]
    if side_by_side := list(formats.figures(runs)):
        yield Section("formats", "Number formats", figures=side_by_side)
    if maps := list(feature_maps.figures(runs)):
        yield Section("maps", "Feature maps", feature_maps.sentences(runs), figures=maps)
    for key, title, figures, missing in (
        ("sites", "Vulnerability by site", vulnerability.figures(runs), injected),
        ("bits", "Bit position", [*fields.figures(runs), *bits.figures(runs)], [*injected, *_without_bits(runs)]),
        ("ranges", "Value ranges", ranges.figures(runs), lacking(runs, "ranges", "tgr profile-ranges")),
        ("confidence", "Confidence", confidence.figures(runs), [*evaluated, *injected]),
        ("training", "Training", training.figures(trained), lacking(trained, "training", "tgr train")),
    ):
        yield Section(key, title, figures=list(figures), missing=missing)


def _without_bits(runs: Sequence[Run]) -> list[str]:
    """Return a sentence that names the runs whose faults strike no single bit, [] if there are none."""
    names = [run.name for run in runs if run.faults and not run.faults.bits]
    return [f"No faults of {listed(names)} strike a single bit, so none has a place here."] if names else []


def lacking(runs: Sequence[Run], what: str, command: str) -> list[str]:
    """Return a sentence that names the runs without an artifact and the command that makes it, [] if all have it."""
    names = [run.name for run in runs if getattr(run, what) is None]
    artifact = "injections" if what == "faults" else what
    return [f'No {artifact} of {listed(names)}; "{command}" makes them.'] if names else []
