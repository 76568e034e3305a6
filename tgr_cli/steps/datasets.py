"""The named data sets: where each is expected, whether it is there, and how to get it."""

from dataclasses import dataclass
from pathlib import Path

from tgr_cli import defaults
from tgr_cli.data import built_in
from tgr_cli.data.source import NAMED
from tgr_cli.reporting import SILENT, Reporter


@dataclass(frozen=True, kw_only=True)
class Config:
    """Root folder of the named data sets."""

    data_root: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One named data set; `looked_for` is None if it is embedded."""

    name: str
    classes: int
    looked_for: str | None
    found: bool
    how_to_get: str


def run(config: Config, reporter: Reporter = SILENT) -> list[Row]:
    """Return one row per named data set, in listed order, without opening files."""
    root = config.data_root or defaults.DATA_ROOT
    return [_row(name, root) for name in NAMED]


def _row(name: str, root: Path) -> Row:
    place = built_in.place(name, root)
    return Row(
        name=name,
        classes=built_in.class_count(name),
        looked_for=None if place is None else str(place),
        found=place is None or place.is_dir(),
        how_to_get=built_in.how_to_get(name),
    )
