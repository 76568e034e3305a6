"""The sections of plots, in the order of the page: a plot is a function `figures` of the runs, in a file of its own."""

from collections.abc import Iterator, Sequence

from tgr_cli.report import bits, confidence, ranges, training, vulnerability
from tgr_cli.report.figure import Section
from tgr_cli.report.measured import Run
from tgr_cli.report.words import listed


def plotted(runs: Sequence[Run]) -> Iterator[Section]:
    """Yield the sections of plots; one for which no run has the artifact says which command makes it."""
    injected, evaluated = lacking(runs, "faults", "tgr inject"), lacking(runs, "golden", "tgr evaluate")
    for key, title, figures, missing in (
        ("sites", "Vulnerability by site", vulnerability.figures(runs), injected),
        ("bits", "Bit position", bits.figures(runs), injected),
        ("ranges", "Value ranges", ranges.figures(runs), lacking(runs, "ranges", "tgr profile-ranges")),
        ("confidence", "Confidence", confidence.figures(runs), [*evaluated, *injected]),
        ("training", "Training", training.figures(runs), lacking(runs, "training", "tgr train")),
    ):
        yield Section(key, title, figures=list(figures), missing=missing)


def lacking(runs: Sequence[Run], what: str, command: str) -> list[str]:
    """Return a sentence that names the runs without an artifact and the command that makes it, [] if all have it."""
    names = [run.name for run in runs if getattr(run, what) is None]
    artifact = "injections" if what == "faults" else what
    return [f'No {artifact} of {listed(names)}; "{command}" makes them.'] if names else []
