"""The field that each fault struck, in number formats whose fields differ in length from word to word (posits)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tgr_cli.artifacts.store import Artifact

VARIABLE = "body"  # the field that stands for those of varying length


def struck_fields(injections: Artifact, form: Mapping[str, Any]) -> np.ndarray | None:
    """Return the name of the field that each row's bit was in before the fault, [N]; "" for rows without a bit.

    `form` are the facts of the format of the struck words. None if its fields are the same in every word. Needs the
    columns bit and value_before.
    """
    if VARIABLE not in form["fields"]:
        return None
    import torch  # imported here: most formats do not need it

    from tgr_cli.faults.formats import format_named

    words = format_named(form["name"])
    before_N = torch.from_numpy(injections.table["value_before"].to_numpy().astype(np.float64))
    word_N = words.unsigned(words.encode(before_N)).numpy()
    pairs = list(zip(word_N.tolist(), injections.table["bit"].to_pylist(), strict=True))
    names = {(word, bit): _field_of(words.parts(word), bit) for word, bit in set(pairs)}
    return np.array([names[pair] for pair in pairs])


def _field_of(parts: Mapping[str, tuple[int, int]], bit: int) -> str:
    return next((name for name, (low, high) in parts.items() if low <= bit <= high), "")
