"""Rows of results, in memory: as Arrow, as pandas, or as a table of a notebook."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import pyarrow as pa

from tgr_cli.errors import TgrError

SHOWN = 60  # rows of a notebook's view


@dataclass(frozen=True)
class Table:
    """The rows of an artifact, and `facts`: what its metadata say of model, data and settings."""

    arrow: pa.Table
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return int(self.arrow.num_rows)

    def __getitem__(self, column: str) -> list[Any]:
        """Return the values of a column; raises KeyError if there is none of this name."""
        return list(self.arrow[column].to_pylist())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield each row as a dict."""
        return iter(self.arrow.to_pylist())

    def pandas(self) -> Any:
        """Return the rows as a pandas data frame; raises TgrError without pandas."""
        try:
            return self.arrow.to_pandas()
        except ImportError as error:
            raise TgrError("a data frame needs pandas, which is not installed; run: pip install pandas") from error

    def _repr_html_(self) -> str:
        names = self.arrow.column_names
        rows = "".join(_row("td", [_cell(value) for value in row.values()]) for row in self.arrow[:SHOWN].to_pylist())
        more = f"<p>{len(self) - SHOWN:,} more rows</p>" if len(self) > SHOWN else ""
        return f"<table><thead>{_row('th', names)}</thead><tbody>{rows}</tbody></table>{more}"


def _row(tag: str, cells: list[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
