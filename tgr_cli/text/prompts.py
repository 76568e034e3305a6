"""Prompt files (TOML): questions, templates and stored descriptions for a data set's classes."""

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
    """The keys of a table, looked up regardless of spelling."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._keys = list(table)
        self._spellings = Spellings((key, place) for place, key in enumerate(self._keys))

    def find(self, name: str) -> str | None:
        """Return the key equal to `name`, else the only key that differs from it in spelling alone, else None."""
        at = self._spellings.places(name)
        return self._keys[at[0]] if len(at) == 1 else None


@dataclass(frozen=True, kw_only=True)
class PromptSet:
    """The content of a prompt file.

    `templates` and `questions` have the placeholders {class} and {a_class} (with article). `phrases` overrides a
    class's form with article where the rule in `articles` or the bare name is wrong; its keys are class names, or
    INDEX:NAME if two classes share a name. `descriptions` holds one text per question for each class name, in the
    questions' order; in a file without questions, any number of texts. `aliases` maps other names to class names:
    "T-shirt/top" to "t-shirt".
    """

    name: str
    sha256: str
    templates: tuple[str, ...]
    questions: tuple[str, ...] = ()
    phrases: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    descriptions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def phrase(self, index: int, name: str) -> str:
        """Return class `index`, called `name`, with its article: "an ankle boot"."""
        known = self.phrases.get(f"{index}:{name}", self.phrases.get(name))
        if known is not None:
            return known
        meant = self._keys["aliases"].find(name)
        name = name if meant is None else self.aliases[meant]
        spelt = self._keys["phrases"].find(name)
        return self.phrases[spelt] if spelt is not None else with_article(name.replace("_", " ").strip())

    def render(self, text: str, index: int, name: str) -> str:
        """Return a template or question with its placeholders filled in for class `index`, called `name`."""
        phrase = self.phrase(index, name)
        bare = phrase
        for article in ARTICLES:
            bare = bare.removeprefix(article)
        return text.format_map({"class": bare, "a_class": phrase})

    def described(self, classes: Sequence[str]) -> list[str | None]:
        """Return for each class the name under which its descriptions are stored, None if there are none.

        Lookup ignores spelling (`naming.comparable`) and follows aliases. Classes called 0, 1, … match the stored
        classes by position, which is label order.
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
        """Return the classes without stored descriptions."""
        found = self.described(classes)
        return tuple(name for name, stored in zip(classes, found, strict=True) if stored is None)


@cache
def folder() -> Path:
    """Return the folder of the prompt files: in the installed package, else beside it in a checkout."""
    package = Path(str(resources.files("tgr_cli")))
    installed, checkout = package / "prompts", package.parent / "prompts"
    assert installed.is_dir() or checkout.is_dir(), "the package was installed without its prompts"
    return installed if installed.is_dir() else checkout


def shipped() -> tuple[str, ...]:
    """Return the data sets with a prompt file in the package, sorted."""
    return tuple(sorted(path.stem for path in folder().glob("*.toml") if path.stem != GENERAL))


def with_descriptions() -> tuple[str, ...]:
    """Return the data sets with stored descriptions, sorted."""
    return tuple(name for name in shipped() if load(name).descriptions)


def load(name: str) -> PromptSet:
    """Return the prompt file of data set `name` in the package, or the generic one (`GENERAL`)."""
    return read(folder() / f"{name}.toml")


def for_dataset(dataset: str, name: str, file: Path | None = None, reporter: Reporter = SILENT) -> PromptSet:
    """Return the prompts for a data set: the user's `file`, else those in the package, else the generic ones.

    The package's prompts are found by `dataset`, or by the `name` of the data set's folder.
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
    """Return the prompts in a TOML file, validated; raises TgrError if it is missing or has unknown content."""
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
    """Return `prompts` with its questions replaced by the lines of a text file; stored descriptions are dropped.

    Blank lines and lines that start with # are skipped. Raises TgrError where the file is missing or has no question.
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
    """Return a data set's name in a form that is equal for all spellings: "Fashion-MNIST", "fashion_mnist"."""
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
    # A format or conversion, as in {class:>9} or {class!r}, is also not a placeholder.
    if not fields or not set(fields) <= {(name, "", None) for name in PLACEHOLDERS}:
        raise TgrError(f'{path}: "{text}" needs {{class}} or {{a_class}}, and has no other placeholder; mend it')
