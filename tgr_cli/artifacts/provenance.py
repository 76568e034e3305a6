"""Provenance of an artifact: the metadata in the file and the run record beside it."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args, get_type_hints

from tgr_cli import __version__
from tgr_cli.artifacts import facts
from tgr_cli.artifacts.unrecorded import is_recorded
from tgr_cli.documents import MalformedError, parse_json
from tgr_cli.errors import TgrError, found_at

LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "open_clip_torch",
    "pytorchfi",
    "numpy",
    "scipy",
    "scikit-learn",
    "pillow",
    "pyarrow",
)
PATH_PREFIXES = ("parquet:", "imagefolder:", "local-dir:")
NO_PART_OF_THE_WORK = {  # settings that affect how a result is computed, but not the result
    "download",
    "workers",
    "memory",
    "keep_all",
    "base_url",
    "max_tokens_name",
    "concurrency",
    "requests_per_minute",
    "timeout",
    "price_in",
    "price_out",
}


UNRECORDED_FORMAT = "float32"  # artifacts of earlier versions do not record the format
REQUIRED = {"kind": str, "version": int, "tgr": str, "config": dict, "inputs": dict}


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The metadata of an artifact, without paths, times and API keys, so that equal work gives equal bytes.

    `model` is the model's fingerprint, `classes` the SHA-256 of the class names, and `inputs` maps the role of each
    input file to its SHA-256; `extra` has further entries of the kind.
    """

    kind: str
    version: int
    tgr: str = __version__
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    libraries: Mapping[str, str] = field(default_factory=lambda: library_versions())
    model: str | None = None
    classes: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def number_format(self) -> str:
        """Return the number format of the values that the artifact's one model computes."""
        return str(self.extra.get("format") or UNRECORDED_FORMAT)

    @property
    def deployed_in(self) -> tuple[str | None, str | None]:
        """Return the formats that the model's layers and weights are rounded to; None for what is left as it is."""
        return (self.number_format if "rounded" in self.extra else None), self.extra.get("weight_format")

    def to_json(self) -> str:
        """Return the metadata as JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, written: str | bytes) -> "Provenance":
        """Return the provenance from metadata text; raises TgrError if it is damaged or malformed."""
        try:
            values = parse_json(written)
        except MalformedError as error:
            raise TgrError(f"its tgr metadata is not JSON as tgr writes it (it {error})") from error
        if not isinstance(values, dict):
            raise TgrError("its tgr metadata lacks kind")
        optional: dict[str, Any] = {"seed": int | None, "model": str | None, "classes": str | None}
        for name in ("kind", "version", "tgr", "config", "inputs", "seed", "libraries", "model", "classes", "extra"):
            if name not in values:
                if name in REQUIRED:
                    raise TgrError(f"its tgr metadata lacks {name}")
                continue
            expected = REQUIRED.get(name) or optional.get(name, dict)
            if not isinstance(values[name], expected) or isinstance(values[name], bool):
                raise TgrError(f"its tgr metadata {'lacks' if name in REQUIRED else 'has'} {name} of the right type")
        for name in ("inputs", "libraries"):
            if not all(isinstance(value, str) for value in values.get(name, {}).values()):
                raise TgrError(f"its tgr metadata has {name} that are no texts")
        facts.check(values["config"], values.get("extra", {}))
        known = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


def library_versions() -> dict[str, str]:
    """Return the installed version of every library that may affect results."""
    return {"python": platform.python_version()} | {name: _installed(name) for name in LIBRARIES}


@cache  # looking up all versions takes longer than writing a small artifact
def _installed(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "absent"


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal; raises TgrError for devices and pipes, which have no end."""
    if path.exists() and not path.is_file():
        raise TgrError(f"{path} {found_at(path)}, where a file is expected; move it, or name another")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_names(names: tuple[str, ...] | list[str]) -> str:
    """Return the SHA-256 of a list of names in hexadecimal, by which artifacts identify a set of classes."""
    return hashlib.sha256(json.dumps(list(names), ensure_ascii=False).encode()).hexdigest()


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values as a flat mapping with dotted names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


_hints = cache(get_type_hints)


def normalised(config: Any) -> Any:
    """Return `config` as plain JSON values, without settings that do not affect results.

    These are paths (fields of type path, folders of data sets), the fields in NO_PART_OF_THE_WORK, and objects.
    """
    if is_dataclass(config) and not isinstance(config, type):
        hints = _hints(type(config))
        # Decided by declared type, so that an omitted path and a given one have the same result.
        paths = {name for name, hint in hints.items() if Path in (hint, *get_args(hint))}
        kept = [f.name for f in fields(config) if is_recorded(f) and f.name not in NO_PART_OF_THE_WORK | paths]
        return {name: normalised(getattr(config, name)) for name in kept}
    if isinstance(config, Mapping):
        return {str(name): normalised(value) for name, value in config.items()}
    if isinstance(config, tuple | list):
        return [normalised(value) for value in config]
    if isinstance(config, str):
        for prefix in PATH_PREFIXES:
            if config.startswith(prefix):
                return prefix + Path(config.removeprefix(prefix)).name
    return config
