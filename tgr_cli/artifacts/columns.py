"""What a column and a kind of artifact are: types, units, and the bounds that are checked on reading."""

from dataclasses import dataclass

import pyarrow as pa

TEXT, INTEGER, NUMBER, FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()

SHARE, COUNT, ROUNDED = (0.0, 1.0), (0.0, None), (-1.001, 1.001)  # ROUNDED: a cosine in float32 may exceed 1
MOST = 1e300  # the bound of finite values
Bounds = tuple[float | None, float | None]
OF_UNITS: dict[str, Bounds] = {
    "probability": SHARE,
    "share": SHARE,
    "cosine": ROUNDED,
    **dict.fromkeys(
        ("nats", "images", "faults", "rows", "elements", "texts", "places", "faults a site", "bits", "FIT"), COUNT
    ),
    **dict.fromkeys(("multiply-accumulates", "factor", "share of the diagonal"), COUNT),
}


@dataclass(frozen=True)
class Column:
    """One column: name, Arrow type, unit ("" for none) and meaning; `null` says when it is null.

    `since` is the first schema version with this column. The remaining fields are constraints, checked on reading.
    Values lie within `limits` (None: those of the unit, or >= 0 for an index); texts are one of `among`; NaN requires
    `may_be_nan`; with `one_length` all lists have equal length.
    """

    name: str
    type: pa.DataType
    unit: str
    meaning: str
    null: str = ""
    since: int = 1
    limits: Bounds | None = None
    among: tuple[str, ...] = ()
    may_be_nan: bool = False
    one_length: bool = False

    @property
    def bounds(self) -> Bounds:
        """Return the smallest and the largest allowed value; None is unbounded."""
        if self.limits is not None or self.unit in OF_UNITS:
            return self.limits or OF_UNITS[self.unit]
        whole = self.type == INTEGER or self.type == pa.list_(INTEGER)
        return COUNT if whole and not self.unit else (None, None)


@dataclass(frozen=True)
class Schema:
    """One kind of artifact: meaning of a row, command that writes it, columns, and unique key.

    Versions from `readable_from` on (None: only this version) lack only columns that were added later, so readers that
    do not need these accept them.

    `formats` names the metadata entry with the number format of the model ("format") or, if there are several, of each
    one by name ("formats"); empty for artifacts without a model.
    """

    kind: str
    version: int
    row: str
    command: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    may_be_empty: bool = False
    readable_from: int | None = None
    formats: str = ""

    def reads(self, version: int) -> bool:
        """Return whether a file of this version can be read, except for columns added later."""
        return (self.readable_from or self.version) <= version <= self.version

    def later_than(self, version: int) -> list[str]:
        """Return the names of the columns that were added after this version."""
        return [column.name for column in self.columns if column.since > version]

    @property
    def arrow(self) -> pa.Schema:
        """Return the Arrow schema; columns that are never null are marked non-nullable."""
        return pa.schema([pa.field(c.name, c.type, nullable=bool(c.null)) for c in self.columns])
