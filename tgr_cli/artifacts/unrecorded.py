"""Fields of settings that hold an object of a program, such as a module in memory.

No option of the command line gives them, and no artifact records them: facts of their own, as fingerprints, do.
"""

from dataclasses import Field
from typing import Any

UNRECORDED = {"recorded": False}  # the metadata of such a field


def is_recorded(field: Field[Any]) -> bool:
    """Return whether a field of settings is one that an option gives and artifacts record."""
    return bool(field.metadata.get("recorded", True))
