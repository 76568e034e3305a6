"""Prompt files: per data set the questions, templates and stored descriptions of its classes (TOML)."""

import hashlib
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from tgr_cli import documents
from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.naming import Spellings, composed, is_number
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.text.articles import ARTICLES, with_article

PLACEHOLDERS = ("class", "a_class")
KEYS = ("templates", "questions", "phrases", "aliases", "descriptions")
GENERAL = "general"


class _Keys:
    """The keys of a table, found in any spelling."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._keys = list(table)
        self._spellings = Spellings((key, place) for place, key in enumerate(self._keys))

    def find(self, name: str) -> str | None:
        """Return the key that is `name`, or the only one that differs from it in spelling alone."""
        at = self._spellings.places(name)
        return self._keys[at[0]] if len(at) == 1 else None


@dataclass(frozen=True, kw_only=True)
class PromptSet:
    """What one prompt file holds.

    `templates` and `questions` have the placeholders {class} and {a_class} (with its article). `phrases` says how a
    class is written with its article where the rule of `articles` or the bare name would not do; its keys are class
    names, or INDEX:NAME where one name stands for two classes. `descriptions` holds, per class name, one text a
    question, in the questions' order; where a file has no questions, any number of texts. `aliases` says which class
    another name stands for: "T-shirt/top" for "t-shirt".
    """

    name: str
    sha256: str
    templates: tuple[str, ...]
    questions: tuple[str, ...] = ()
    phrases: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    descriptions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def phrase(self, index: int, name: str) -> str:
        """Return how class `index`, called `name`, is written with its article: "an ankle boot"."""
        known = self.phrases.get(f"{index}:{name}", self.phrases.get(name))
        if known is not None:
            return known
        meant = self._keys["aliases"].find(name)
        name = name if meant is None else self.aliases[meant]
        spelt = self._keys["phrases"].find(name)
        return self.phrases[spelt] if spelt is not None else with_article(name.replace("_", " ").strip())

    def render(self, text: str, index: int, name: str) -> str:
        """Return a template or question with its placeholders filled for class `index`, called `name`."""
        phrase = self.phrase(index, name)
        bare = phrase
        for article in ARTICLES:
            bare = bare.removeprefix(article)
        return text.format_map({"class": bare, "a_class": phrase})

    def described(self, classes: Sequence[str]) -> list[str | None]:
        """Return for each class the name under which its descriptions are stored, None where there are none.

        Spelling makes no difference (`naming.comparable`), and aliases count. Classes that are called 0, 1, … stand
        for as many stored ones in their order, which is that of the data set's labels.
        """
        numbers = [int(name) if is_number(name) else -1 for name in classes]
        if numbers == list(range(len(self.descriptions))):
            return list(self.descriptions)
        return [self._stored(name) for name in classes]

    @cached_property
    def _keys(self) -> dict[str, _Keys]:
        tables = {"phrases": self.phrases, "aliases": self.aliases, "descriptions": self.descriptions}
        return {name: _Keys(table) for name, table in tables.items()}

    def _stored(self, name: str) -> str | None:
        found = self._keys["descriptions"].find(name)
        if found is None and (meant := self._keys["aliases"].find(name)) is not None:
            return self.aliases[meant]
        return found

    def missing(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Return the classes that no description is stored for."""
        found = self.described(classes)
        return tuple(name for name, stored in zip(classes, found, strict=True) if stored is None)


@cache
def folder() -> Path:
    """Return where the prompt files lie: within the installed package, else beside it in the checkout."""
    package = Path(str(resources.files("tgr_cli")))
    installed, checkout = package / "prompts", package.parent / "prompts"
    assert installed.is_dir() or checkout.is_dir(), "the package was installed without its prompts"
    return installed if installed.is_dir() else checkout


def shipped() -> tuple[str, ...]:
    """Return the data sets that prompts come with, sorted."""
    return tuple(sorted(path.stem for path in folder().glob("*.toml") if path.stem != GENERAL))


def with_descriptions() -> tuple[str, ...]:
    """Return the data sets that descriptions are stored for, sorted."""
    return tuple(name for name in shipped() if load(name).descriptions)


def load(name: str) -> PromptSet:
    """Return the prompts that come with data set `name`, or the general ones (`GENERAL`)."""
    return read(folder() / f"{name}.toml")


def for_dataset(dataset: str, name: str, file: Path | None = None, reporter: Reporter = SILENT) -> PromptSet:
    """Return the prompts to use for a data set: the user's `file`, else its own, else the general ones.

    Its own are those that come with the named set `dataset`, or with the set that its folder's `name` is called after.
    """
    if file is not None:
        return read(file)
    comes_with = {_letters(own): own for own in shipped()}
    for asked in (dataset, name):
        own = comes_with.get(_letters(asked))
        if own is not None:
            if asked != own:
                reporter.note(f'the prompts of {own} are used for "{asked}"; --prompts FILE takes your own')
            return load(own)
    reporter.note(f'no prompts come with "{name}": the general ones are used; --prompts FILE takes your own')
    return load(GENERAL)


def read(path: Path) -> PromptSet:
    """Return the prompts in a TOML file, checked; raises TgrError where it is missing or says something unknown."""
    try:
        content = documents.read_bytes(path)
        values = documents.parse_toml(content)
    except documents.MalformedError as error:
        raise TgrError(f"{path} {error}; mend it, or name a TOML file of prompts with --prompts") from error
    for key in values:
        if key not in KEYS:
            raise TgrError(f'{path} has "{key}", where {", ".join(KEYS)} may stand.{did_you_mean(key, KEYS)}')
    templates = _texts(path, "templates", values.get("templates"))
    questions = _texts(path, "questions", values["questions"]) if "questions" in values else ()
    for text in (*templates, *questions):
        _check_placeholders(path, text)
    phrases = _table(path, "phrases", values)
    for key, phrase in phrases.items():
        if not isinstance(phrase, str) or not phrase.strip():
            raise TgrError(
                f'{path}: phrases."{key}" is not a text; write how the class is called, as "a pair of jeans"'
            )
    aliases = _table(path, "aliases", values)
    descriptions = {
        key: _texts(path, f'descriptions."{key}"', texts) for key, texts in _table(path, "descriptions", values).items()
    }
    for key, texts in descriptions.items():
        if questions and len(texts) != len(questions):
            raise TgrError(
                f'{path}: descriptions."{key}" has {len(texts)} texts for {len(questions)} questions; '
                "write one a question, in the same order"
            )
    for alias, meant in aliases.items():
        if not isinstance(meant, str) or (descriptions and meant not in descriptions):
            raise TgrError(f'{path}: aliases."{alias}" is no class that is described; write "other name" = "class"')
    return PromptSet(
        name=path.stem,
        sha256=hashlib.sha256(content).hexdigest(),
        templates=templates,
        questions=questions,
        phrases=phrases,
        aliases=aliases,
        descriptions=descriptions,
    )


def with_questions(prompts: PromptSet, path: Path) -> PromptSet:
    """Return `prompts` with the questions in a text file for its own, one a line; what answered its own goes.

    Empty lines and those that start with # are left out. Raises TgrError where the file is missing or asks nothing.
    """
    written = documents.read_text(path, "give --questions a text file with one question a line")
    lines = [line.strip() for line in written.splitlines()]
    questions = tuple(line for line in lines if line and not line.startswith("#"))
    if not questions:
        raise TgrError(f"{path} asks nothing; write one question a line, with {{a_class}} where the class goes")
    for question in questions:
        _check_placeholders(path, question)
    return replace(prompts, questions=tuple(dict.fromkeys(questions)), descriptions={})


def _letters(name: str) -> str:
    """Return the name of a data set without what its spellings differ in: "Fashion-MNIST", "fashion_mnist"."""
    return "".join(letter for letter in composed(name).casefold() if letter.isalnum())


def _table(path: Path, key: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    table = values.get(key, {})
    if not isinstance(table, dict):
        raise TgrError(f"{path}: {key} is not a table; write [{key}] and one line a class under it")
    return table


def _texts(path: Path, key: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not values or not all(isinstance(v, str) and v.strip() for v in values):
        raise TgrError(f"{path}: {key} is missing, empty, or holds something else than texts; write a list of texts")
    return tuple(values)


def _check_placeholders(path: Path, text: str) -> None:
    try:
        fields = [field[1:] for field in string.Formatter().parse(text) if field[1] is not None]
    except ValueError as error:
        raise TgrError(f'{path}: "{text}" has a lone brace; write {{{{ for a brace') from error
    # A format or conversion, as in {class:>9} or {class!r}, is no placeholder either.
    if not fields or not set(fields) <= {(name, "", None) for name in PLACEHOLDERS}:
        raise TgrError(f'{path}: "{text}" needs {{class}} or {{a_class}}, and has no other placeholder; mend it')
