"""The number formats by name."""

from tgr_cli.errors import one_of
from tgr_cli.faults.formats.format import Format as Format
from tgr_cli.faults.formats.format import Scale as Scale
from tgr_cli.faults.formats.native import NATIVE as NATIVE
from tgr_cli.faults.formats.native import Native as Native
from tgr_cli.faults.formats.native import format_of as format_of
from tgr_cli.faults.formats.native import width as width


def format_named(name: str) -> Native:
    """Return the format called `name`; raises TgrError for an unknown name.

    >>> format_named("bfloat16").fields
    {'sign': (15, 15), 'exponent': (7, 14), 'mantissa': (0, 6)}
    """
    one_of("--format", name, NATIVE)
    return NATIVE[name]
