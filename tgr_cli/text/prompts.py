"""Prompt files: per data set the questions, templates and stored descriptions of its classes (TOML)."""

import hashlib
import string
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.text.articles import ARTICLES, with_article

PLACEHOLDERS = ("class", "a_class")
KEYS = ("templates", "questions", "phrases", "descriptions")
GENERAL = "general"


@dataclass(frozen=True, kw_only=True)
class PromptSet:
    """What one prompt file holds.

    `templates` and `questions` have the placeholders {class} and {a_class} (with its article). `phrases` says how a
    class is written with its article where the rule of `articles` or the bare name would not do; its keys are class
    names, or INDEX:NAME where one name stands for two classes. `descriptions` holds, per class name, one text a
    question, in the questions' order; where a file has no questions, any number of texts.
    """

    name: str
    sha256: str
    templates: tuple[str, ...]
    questions: tuple[str, ...] = ()
    phrases: Mapping[str, str] = field(default_factory=dict)
    descriptions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def phrase(self, index: int, name: str) -> str:
        """Return how class `index`, called `name`, is written with its article: "an ankle boot"."""
        known = self.phrases.get(f"{index}:{name}", self.phrases.get(name))
        return known if known is not None else with_article(name.replace("_", " ").strip())

    def render(self, text: str, index: int, name: str) -> str:
        """Return a template or question with its placeholders filled for class `index`, called `name`."""
        phrase = self.phrase(index, name)
        bare = phrase
        for article in ARTICLES:
            bare = bare.removeprefix(article)
        return text.format_map({"class": bare, "a_class": phrase})

    def missing(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Return the classes that no description is stored for, compared letter by letter."""
        return tuple(name for name in classes if name not in self.descriptions)


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
    for own in (dataset, name):
        if own in shipped():
            return load(own)
    reporter.note(f'no prompts come with "{name}": the general ones are used; --prompts FILE takes your own')
    return load(GENERAL)


def read(path: Path) -> PromptSet:
    """Return the prompts in a TOML file, checked; raises TgrError where it is missing or says something unknown."""
    try:
        content = path.read_bytes()
        values = tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        raise TgrError(f"{path} cannot be read ({error.strerror}); name a TOML file with --prompts") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TgrError(f"{path} is not valid TOML ({error}); mend it") from error
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
    descriptions = {
        key: _texts(path, f'descriptions."{key}"', texts) for key, texts in _table(path, "descriptions", values).items()
    }
    for key, texts in descriptions.items():
        if questions and len(texts) != len(questions):
            raise TgrError(
                f'{path}: descriptions."{key}" has {len(texts)} texts for {len(questions)} questions; '
                "write one a question, in the same order"
            )
    return PromptSet(
        name=path.stem,
        sha256=hashlib.sha256(content).hexdigest(),
        templates=templates,
        questions=questions,
        phrases=phrases,
        descriptions=descriptions,
    )


def with_questions(prompts: PromptSet, path: Path) -> PromptSet:
    """Return `prompts` with the questions in a text file for its own, one a line; what answered its own goes.

    Empty lines and those that start with # are left out. Raises TgrError where the file is missing or asks nothing.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise TgrError(f"--questions {path} cannot be read as text; give a file with one question a line") from error
    questions = tuple(line for line in lines if line and not line.startswith("#"))
    if not questions:
        raise TgrError(f"{path} asks nothing; write one question a line, with {{a_class}} where the class goes")
    for question in questions:
        _check_placeholders(path, question)
    return replace(prompts, questions=tuple(dict.fromkeys(questions)), descriptions={})


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
