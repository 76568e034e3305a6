"""Path resolution."""

import os
from pathlib import Path


def real(path: Path) -> Path:
    """Return the absolute path with symbolic links resolved; a cycle of links is left for `open` to report.

    `Path.resolve` raises RuntimeError for a cycle before Python 3.13.
    """
    return Path(os.path.realpath(path))
