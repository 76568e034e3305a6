"""The spellings of number formats in papers and libraries, and the names here that they stand for."""

import re
from collections.abc import Iterable

ALIASES = {
    "double": "float64",
    "single": "float32",
    "half": "float16",
    "bf16": "bfloat16",
    "float8_e4m3": "float8_e4m3fn",
    "e4m3": "float8_e4m3fn",
    "e4m3fn": "float8_e4m3fn",
    "e4m3fnuz": "float8_e4m3fnuz",
    "e5m2": "float8_e5m2",
    "e5m2fnuz": "float8_e5m2fnuz",
    "e3m2": "float6_e3m2",
    "e2m3": "float6_e2m3",
    "e2m1": "float4_e2m1",
}
Q = re.compile(r"q(\d{1,2})\.(\d{1,2})")  # integer and fraction bits, the sign beside them
POSIT = re.compile(r"posit[<(] *(\d{1,2}) *, *(\d) *[>)]")


def canonical(written: str, known: Iterable[str]) -> tuple[str, list[str]]:
    """Return the name that `written` stands for, perhaps with options, and the `known` names that it may be short for.

    >>> canonical("Q3.4", []), canonical("posit<8,1>", [])
    (('fixed:int=3,frac=4', []), ('posit:n=8,es=1', []))
    >>> canonical("MXFP8", ["mxfp8_e4m3", "mxfp8_e5m2", "mxint8"])
    ('mxfp8', ['mxfp8_e4m3', 'mxfp8_e5m2'])
    >>> canonical("fp4", ["float4_e2m1"])
    ('float4_e2m1', [])
    """
    text = written.strip().lower()
    if found := Q.fullmatch(text):
        return f"fixed:int={found[1]},frac={found[2]}", []
    if found := POSIT.fullmatch(text):
        return f"posit:n={found[1]},es={found[2]}", []
    name = re.sub(r"^fp(?=\d)", "float", text.removeprefix("torch.").replace("-", "_"))
    name = ALIASES.get(name, name)
    known = list(known)
    longer = [] if name in known else [each for each in known if each.startswith(f"{name}_")]
    return (longer[0], []) if len(longer) == 1 else (name, longer)
