"""The number formats, what they hold, and the fields of their bits."""

from collections.abc import Sequence
from dataclasses import dataclass

from tgr_cli.faults.formats import Format, format_named
from tgr_cli.faults.formats.names import all_formats
from tgr_cli.faults.formats.properties import Properties, properties


@dataclass(frozen=True)
class Described:
    """A format and its figures."""

    form: Format
    properties: Properties


def run(names: Sequence[str] = ()) -> list[Described]:
    """Return the formats of these names, of all if there are none; raises TgrError for an unknown name."""
    forms = [format_named(name, "a format") for name in names] or all_formats()
    return [Described(form, properties(form)) for form in forms]
