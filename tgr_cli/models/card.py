"""model.json: the description of a trained model, stored beside its weights."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tgr_cli import documents
from tgr_cli.data.preprocessing import Preprocessing
from tgr_cli.errors import TgrError

AGAIN = 'write it again with "tgr train", or with "tgr guard" for a protected model'
KINDS: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "head": (str,),
    "init": (str, type(None)),
    "num_classes": (int,),
    "embedding_dim": (int, type(None)),
    "classes": (list,),
    "preprocessing": (dict,),
    "seed": (int,),
    "fingerprint": (str,),
    "params": (int,),
}
ADDED: dict[str, tuple[type, ...]] = {  # fields that older cards lack
    "variant": (str, type(None)),
    "protection": (list, type(None)),
}


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """A trained model: zoo name, head (baseline, cosine or text), its initialisation, classes and preprocessing.

    `fingerprint` is that of the weights. `protection` are the guards under which the model runs, as `guards.stored`
    writes them; None for a model without.
    """

    model: str
    head: str
    init: str | None
    num_classes: int
    embedding_dim: int | None
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    seed: int
    fingerprint: str
    params: int
    variant: str | None = None
    protection: list[dict[str, Any]] | None = None

    @property
    def identity(self) -> str:
        """Return the fingerprint by which artifacts name the model: that of its weights and its protection."""
        return identity(self.fingerprint, self.protection)

    def write(self, path: Path) -> Path:
        """Write the card as JSON by atomic rename, and return the path."""
        from tgr_cli.artifacts import store  # slow to import, and not needed to read a card

        values = asdict(self) | {"preprocessing": self.preprocessing.to_json()}
        if self.protection is None:
            del values["protection"]
        return store.write_json(path, values)

    @classmethod
    def read(cls, path: Path) -> "ModelCard":
        """Return the card at `path`; raises TgrError if the file is missing or damaged, or a field missing or wrong."""
        if not path.exists():
            raise TgrError(f'{path} does not exist; run "tgr train" first')
        try:
            values = documents.parse_json(documents.read_bytes(path))
        except documents.MalformedError as error:
            raise TgrError(f"{path} is not readable JSON; {AGAIN}") from error
        _check(path, values)
        known = {name: values[name] for name in {**KINDS, **ADDED} if name in values}
        try:
            prepared = Preprocessing.from_json(values["preprocessing"])
        except TgrError as error:
            raise TgrError(f"{path}: {error}; {AGAIN}") from error
        return cls(**known | {"classes": tuple(values["classes"]), "preprocessing": prepared})


def identity(of_weights: str, stored: Sequence[Mapping[str, Any]] | None) -> str:
    """Return the fingerprint of a model from that of its weights and the protection under which it runs, if any."""
    if not stored:
        return of_weights
    canonical = json.dumps(stored, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{of_weights}|{canonical}".encode()).hexdigest()


def _check(path: Path, values: Any) -> None:
    for name, kinds in {**KINDS, **ADDED}.items():
        if not isinstance(values, dict) or (name not in values and name in KINDS):
            raise TgrError(f'{path} lacks "{name}"; {AGAIN}')
        if name in values and (not isinstance(values[name], kinds) or isinstance(values[name], bool)):
            found = type(values[name]).__name__
            raise TgrError(f'{path} has "{name}" as {found}; {AGAIN}')
    if not all(isinstance(name, str) for name in values["classes"]) or len(values["classes"]) != values["num_classes"]:
        raise TgrError(f"{path} does not name its {values['num_classes']} classes; {AGAIN}")
