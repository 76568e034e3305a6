"""Class names in Parquet metadata: tgr's own list, and ClassLabel features of the Hugging Face hub."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tgr_cli.documents import MalformedError, parse_json
from tgr_cli.errors import TgrError
from tgr_cli.naming import composed


def class_names(path: Path, metadata: Mapping[bytes, bytes], label: str) -> tuple[str, ...] | None:
    """Return the class names that the file's metadata declares for the column `label`, None if it declares none.

    Raises TgrError where the metadata is damaged.
    """
    own = metadata.get(b"classes")
    names = _lines(path, own) if own else _of_hub(path, metadata.get(b"huggingface"), label)
    if names is not None and not all(name.strip() for name in names):
        raise TgrError(f"{path} gives class {[bool(n.strip()) for n in names].index(False)} an empty name; mend it")
    return None if names is None else tuple(map(composed, names))


def _lines(path: Path, content: bytes) -> tuple[str, ...]:
    try:
        return tuple(content.decode().strip("\n").split("\n"))
    except UnicodeDecodeError as error:
        raise TgrError(f'{path} has class names in its metadata "classes" that are no UTF-8; mend them') from error


def _of_hub(path: Path, content: bytes | None, label: str) -> tuple[str, ...] | None:
    """Return the names of {"info": {"features": {LABEL: {"_type": "ClassLabel", "names": …}}}}."""
    if content is None:
        return None
    try:
        feature = _at(parse_json(content), "info", "features", label)
    except MalformedError as error:
        raise TgrError(f'{path} has metadata "huggingface" that {error}; write the file again') from error
    names = _at(feature, "names") or _at(feature, "class_label", "names")
    if isinstance(names, dict):  # the form used in data set cards: {"0": "cat", "1": "dog"}
        names = [names.get(str(label)) for label in range(len(names))]
    if names is None:
        return None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise TgrError(
            f'{path} has metadata "huggingface" whose names for the column {label} are no list of texts; '
            'write the file again, or give the names in metadata "classes", one a line'
        )
    return tuple(names)


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
