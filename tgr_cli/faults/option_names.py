"""The names that options of faults may give. Does not import torch, so that a mistyped one is reported at once.

What each name stands for is in `formats/names.py`, `fault_models/names.py` and `patterns/names.py`.
"""

from collections.abc import Iterable
from pathlib import Path

from tgr_cli.errors import TgrError, did_you_mean, one_of
from tgr_cli.faults import spellings
from tgr_cli.faults.grammar import split
from tgr_cli.faults.sites import OPS

FORMATS = (
    *("float64", "float32", "float16", "bfloat16"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"),
    *("float6_e3m2", "float6_e2m3", "float4_e2m1", "float", "fixed"),
    *("int64", "int32", "int16", "int8", "int4", "uint8"),
    *("bfp", "mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4_e2m1", "mxint8", "adaptivfloat"),
    *("posit8", "posit16", "posit"),
)
FAULT_MODELS = ("flip", "burst", "stuck", "random", "random-value", "zero")
PATTERNS = ("element", "row", "column", "channel", "block", "several")


def known_format(text: str, option: str = "--format") -> tuple[str, str]:
    """Return the name of a number format and its options; raises TgrError, in the name of `option`, if unknown.

    >>> known_format("Q3.4")
    ('fixed', 'int=3,frac=4')
    """
    found, (written, options) = f'{option} is "{text}"', split(text)
    spelled, longer = spellings.canonical(written, FORMATS)
    if longer:
        raise TgrError(f"{found}, and there are {len(longer)} formats of this kind; use one of {', '.join(longer)}")
    name, told = split(spelled)
    if name not in FORMATS:
        close = did_you_mean(name, [*FORMATS, *spellings.ALIASES])
        raise TgrError(f"{found}; use one of {', '.join(FORMATS)}.{close}")
    return name, ",".join(part for part in (told, options) if part)


def known_fault_model(text: str) -> tuple[str, str]:
    """Return the name of a fault model and its options; raises TgrError if unknown."""
    name, options = split(text)
    one_of("--fault-model", name, FAULT_MODELS)
    return name, options


def is_file(text: str) -> bool:
    """Return whether a fault model is described by a file of this name."""
    return Path(text).suffix.lower() == ".toml"


def known_pattern(text: str) -> tuple[str, str]:
    """Return the name of a pattern and its options; raises TgrError if unknown."""
    name, options = split(text)
    one_of("--pattern", name, PATTERNS)
    return name, options


def refuse_unknown_targets(targets: Iterable[str]) -> None:
    """Raise TgrError for a kind of site that there is not."""
    for target in targets:
        if target not in OPS:
            raise TgrError(f'"{target}" is no kind of site; choose among {", ".join(OPS)}')
