"""The plots of a page as PNG files."""

from pathlib import Path

from tgr_cli.artifacts import store
from tgr_cli.errors import TgrError
from tgr_cli.report import plotting
from tgr_cli.report.page import Page
from tgr_cli.reporting import Reporter


def prepare(folder: Path) -> None:
    """Create the folder for PNG files; raises TgrError if that fails, before any work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TgrError(f"--png is {folder}, which cannot be a folder ({error.strerror}); name another") from error


def write(folder: Path, made: Page, reporter: Reporter) -> list[Path]:
    """Write every plot of the page, and return the files."""
    panels, written = list(made.panels()), []
    for done, (name, panel) in enumerate(panels):
        reporter.progress("pictures", done, len(panels))
        path = folder / f"{name}.png"
        with store.replacing(path) as temporary:
            temporary.write_bytes(plotting.png(panel))
        written.append(path)
    return written
