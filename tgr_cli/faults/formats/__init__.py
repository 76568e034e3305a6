"""Number formats: what values are stored as, bit by bit."""

from tgr_cli.faults.formats.format import Format as Format
from tgr_cli.faults.formats.format import Scale as Scale
from tgr_cli.faults.formats.names import format_named as format_named
from tgr_cli.faults.formats.native import NATIVE as NATIVE
from tgr_cli.faults.formats.native import Native as Native
from tgr_cli.faults.formats.native import format_of as format_of
from tgr_cli.faults.formats.native import width as width
