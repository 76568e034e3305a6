"""The grammar of names of formats, fault models and patterns: `NAME` or `NAME:flag,key=value,…`; and its errors."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tgr_cli.errors import TgrError, did_you_mean


@dataclass(frozen=True)
class Count:
    """An option `key=n`, a whole number from `low` to `high`; with an `example` instead of a default it is needed."""

    low: int
    high: int
    default: int | None = None
    example: int | None = None

    def written(self, key: str) -> str:
        return f"{key}={self.low}…{self.high}"

    def parsed(self, text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,9}", text) or not self.low <= int(text) <= self.high:
            raise ValueError(f"use a whole number from {self.low} to {self.high}")
        return int(text)


@dataclass(frozen=True)
class Choice:
    """An option `key=word`, one of the `words`."""

    words: tuple[str, ...]
    default: str | None
    example: None = None

    def written(self, key: str) -> str:
        return f"{key}={'|'.join(self.words)}"

    def parsed(self, text: str) -> str:
        word = text.lower()
        if word not in self.words:
            raise ValueError(f"use one of {', '.join(self.words)}.{did_you_mean(word, self.words)}")
        return word


@dataclass(frozen=True)
class Word:
    """An option `key=word`, any word; what is made of it checks it."""

    default: None = None
    example: None = None

    def written(self, key: str) -> str:
        return f"{key}=…"

    def parsed(self, text: str) -> str:
        if not text:
            raise ValueError("give a word")
        return text.lower()


@dataclass(frozen=True)
class Flag:
    """An option that is given by its key alone."""

    default: bool = False
    example: None = None

    def written(self, key: str) -> str:
        return key


def split(text: str) -> tuple[str, str]:
    """Return the name, in lower case, and the options of what `text` names.

    >>> split(" Burst:length=2 ")
    ('burst', 'length=2')
    """
    name, _, options = text.strip().partition(":")
    return name.strip().lower(), options


Option = Count | Choice | Word | Flag


class UnsuitableOptionsError(Exception):
    """Options that are each valid and do not go together; says why and what to use."""


@dataclass(frozen=True)
class Entry:
    """How what has a name is made, from the canonical name and the values of all options by key."""

    make: Callable[..., Any]
    options: Mapping[str, Option] = field(default_factory=dict)

    @property
    def defaults(self) -> dict[str, Any]:
        return {key: option.default for key, option in self.options.items()}

    @property
    def examples(self) -> dict[str, int]:
        """Return example values of the options that are needed, by key."""
        return {key: option.example for key, option in self.options.items() if option.example is not None}

    def named(self, name: str, values: Mapping[str, Any]) -> str:
        """Return `name` with those of the option values that are not the defaults."""
        told = [
            key if isinstance(self.options[key], Flag) else f"{key}={values[key]}"
            for key in self.options
            if key in values and values[key] != self.options[key].default
        ]
        return f"{name}:{','.join(told)}" if told else name

    def parsed(self, name: str, text: str, found: str) -> dict[str, Any]:
        """Return the values of all options; raises TgrError that begins with `found`."""
        given: dict[str, Any] = {}
        for part in text.split(",") if text else []:
            key, equals, value = (piece.strip() for piece in part.partition("="))
            key = key.lower()
            if key in given:
                raise TgrError(f"{found}, with {key} twice; give it once")
            given[key] = self._value(name, key, value if equals else None, found)
        if missing := [key for key in self.examples if key not in given]:
            example = self.named(name, self.examples)
            raise TgrError(f"{found}, and {name} needs {' and '.join(missing)}; write it as {example}")
        return self.defaults | given

    def _value(self, name: str, key: str, text: str | None, found: str) -> Any:
        if key not in self.options:
            takes = ", ".join(option.written(key) for key, option in self.options.items()) or "no options"
            raise TgrError(f'{found}, with an option "{key}"; {name} takes {takes}.{did_you_mean(key, self.options)}')
        option = self.options[key]
        if isinstance(option, Flag):
            if text is not None:
                raise TgrError(f'{found}, where {key} is "{text}"; it takes no value: write {name}:{key}')
            return True
        if text is None:
            raise TgrError(f"{found}, where {key} has no value; write it as {option.written(key)}")
        try:
            return option.parsed(text)
        except ValueError as error:
            raise TgrError(f'{found}, where {key} is "{text}"; {error}') from error
