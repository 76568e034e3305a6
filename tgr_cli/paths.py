"""Paths as the system sees them."""

import os
from pathlib import Path


def real(path: Path) -> Path:
    """Return the absolute path without links. Links in a circle stay: whoever opens the path is told of them.

    Path.resolve raises RuntimeError for a circle, up to Python 3.12.
    """
    return Path(os.path.realpath(path))
