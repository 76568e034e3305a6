"""Describe the classes of a data set in sentences: stored descriptions if there are any, else a language model's."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from tgr_cli import defaults
from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import Workspace
from tgr_cli.artifacts.outputs import refuse_loss
from tgr_cli.artifacts.provenance import normalised, sha256_names
from tgr_cli.artifacts.schemas import DESCRIPTIONS
from tgr_cli.data.source import DataSource, class_names
from tgr_cli.errors import TgrError, one_of
from tgr_cli.naming import listed
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.text import prompts as prompt_files
from tgr_cli.text.answers import answers_file
from tgr_cli.text.endpoint import Endpoint
from tgr_cli.text.fruitless import advice, what_to_change
from tgr_cli.text.generators import Description, Stored, Template
from tgr_cli.text.importers import Imported
from tgr_cli.text.llm import INSTRUCTION, CostEstimate, LanguageModel, Usage
from tgr_cli.text.prompts import PromptSet

SOURCES = (Stored.name, LanguageModel.name, Template.name)


@dataclass(frozen=True, kw_only=True)
class Config:
    """`source` is stored, llm or template; None: stored if every class has descriptions, else llm.

    Options about a server, a model or own questions imply llm. `from_file` replaces a source.
    """

    data: DataSource
    source: str | None = None
    prompts: Path | None = None
    questions: Path | None = None
    from_file: Path | None = None
    endpoint: Endpoint = field(default_factory=Endpoint)
    workdir: Path = defaults.WORKDIR
    out: Path | None = None

    def __post_init__(self) -> None:
        one_of("--source", self.source, SOURCES)
        other = "--from-file" if self.from_file else f"--source {self.source}"
        if self.from_file and (self.source or self.prompts):
            raise TgrError("--from-file brings the descriptions itself; leave --source and --prompts out")
        if (self.from_file or self.source not in (None, LanguageModel.name)) and self.meant_for_llm:
            raise TgrError(
                f"{self.meant_for_llm} is for --source llm and has no use with {other}; leave one of them out"
            )

    @property
    def meant_for_llm(self) -> str:
        """Return the first given option that only a language model uses, "" for none."""
        given = {"questions": self.questions, "base-url": self.endpoint.base_url, "llm": self.endpoint.llm}
        return next((f"--{name}" for name, value in given.items() if value is not None), "")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was written: the path, the source, and the descriptions in the file's order.

    `usage` totals the language model's answers, None for other sources; `advice` is the next step if some questions
    have no description.
    """

    path: Path
    source: str
    classes: tuple[str, ...]
    descriptions: tuple[Description, ...]
    usage: Usage | None = None
    advice: str = ""

    @property
    def statuses(self) -> dict[str, int]:
        """Return the number of questions with each status, ok first."""
        counted = Counter(described.status for described in self.descriptions)
        return {status: counted[status] for status in sorted(counted, key=lambda s: (s != "ok", s))}

    @property
    def undescribed(self) -> tuple[str, ...]:
        """Return the names of the classes without any description, in order."""
        known = {described.class_index for described in self.descriptions if described.status == "ok"}
        return tuple(name for index, name in enumerate(self.classes) if index not in known)

    @property
    def missing(self) -> tuple[Description, ...]:
        """Return the questions without a description."""
        return tuple(described for described in self.descriptions if described.status != "ok")


def estimate(config: Config) -> CostEstimate | None:
    """Return the estimated cost of a language model, None if none is needed; sends and writes nothing."""
    if config.from_file:
        return None
    classes = class_names(config.data)
    prompts = _prompts(config, SILENT)
    if _source(config, prompts, classes, SILENT) != LanguageModel.name:
        return None
    return LanguageModel(prompts, config.endpoint, _answers(config)).estimate(classes)


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Write the descriptions of a data set's classes and return them; reads no images."""
    classes = class_names(config.data, reporter)
    if config.from_file:
        imported = Imported(config.from_file)
        described = tuple(sorted(imported.describe(classes, reporter)))
        return _write(config, imported.name, classes, described, {"descriptions": imported.sha256}, {})
    prompts = _prompts(config, reporter)
    source = _source(config, prompts, classes, reporter)
    inputs = {"prompts": prompts.sha256}
    extra: dict[str, object] = {"prompts": prompts.sha256, "prompt_set": prompts.name}
    if source != LanguageModel.name:
        generator = Stored(prompts) if source == Stored.name else Template(prompts)
        described = tuple(sorted(generator.describe(classes, reporter)))
        return _write(config, source, classes, described, inputs, extra)
    store.prepare(_path(config), DESCRIPTIONS.kind, config)
    model = LanguageModel(prompts, config.endpoint, _answers(config))
    described = tuple(sorted(model.describe(classes, reporter)))
    questions = hashlib.sha256("\n".join(prompts.questions).encode()).hexdigest()
    extra |= {"llm": config.endpoint.model, "questions": questions, "instruction": INSTRUCTION}
    statuses = Counter(d.status for d in described)
    if not statuses["ok"]:
        raise TgrError(f"{what_to_change(config.endpoint, statuses)}; the answers are kept in {model.kept}")
    extra |= {"answers": dict(sorted(statuses.items()))}
    usage = model.usage(classes)
    if usage.without_temperature:
        extra["without_temperature"] = usage.without_temperature
    result = _write(config, source, classes, described, inputs | {"questions": questions}, extra)
    missing = {status: number for status, number in statuses.items() if status != "ok"}
    return replace(result, usage=usage, advice=advice(config.endpoint, missing) if missing else "")


def _path(config: Config) -> Path:
    return config.out or Workspace(config.workdir, config.data.folder).descriptions


def _answers(config: Config) -> Path:
    """Return the path of the stored answers; raises TgrError if another kind of file is there."""
    path = answers_file(_path(config))
    refuse_loss(path, "answers", config)
    return path


def _prompts(config: Config, reporter: Reporter) -> PromptSet:
    prompts = prompt_files.for_dataset(config.data.dataset, config.data.folder, config.prompts, reporter)
    return prompt_files.with_questions(prompts, config.questions) if config.questions else prompts


def _write(
    config: Config,
    source: str,
    classes: tuple[str, ...],
    described: tuple[Description, ...],
    inputs: dict[str, str],
    extra: dict[str, object],
) -> Result:
    path = store.prepare(_path(config), DESCRIPTIONS.kind, config)
    settings = normalised(config) | {"source": source}
    if source != LanguageModel.name:
        del settings["endpoint"]
    store.write(
        path,
        DESCRIPTIONS,
        {
            "class_index": [d.class_index for d in described],
            "class_name": [d.class_name for d in described],
            "question": [d.question for d in described],
            "sample": [d.sample for d in described],
            "description": [d.text if d.status == "ok" else None for d in described],
            "status": [d.status for d in described],
            "source": [d.source for d in described],
        },
        store.provenance_for(
            DESCRIPTIONS,
            config=settings,
            classes=sha256_names(classes),
            inputs=inputs,
            extra={"source": source} | extra,
        ),
    )
    return Result(path=path, source=source, classes=classes, descriptions=described)


def _source(config: Config, prompts: PromptSet, classes: tuple[str, ...], reporter: Reporter) -> str:
    missing = prompts.missing(classes)
    if config.source in (Template.name, LanguageModel.name):
        return config.source
    if config.meant_for_llm:
        if not missing:
            reporter.note(
                f"{config.meant_for_llm} asks a language model, though descriptions are stored for these classes"
            )
        return LanguageModel.name
    if not missing:
        return Stored.name
    what = f"no descriptions are stored for {config.data.folder}"
    if prompts.descriptions:
        what = f"{len(missing)} of {len(classes)} classes have no stored description: {listed(missing)}"
    if config.source == Stored.name:
        if prompts.descriptions:
            raise TgrError(f"{what}; use --source template or llm, or rename them with --class-names FILE")
        raise TgrError(
            f"{what}; use --source llm, --source template, your own with --prompts FILE, or one of the data sets that "
            f"have some: {', '.join(prompt_files.with_descriptions())}"
        )
    reporter.note(f"{what}; a language model is asked (--source template asks none)")
    return LanguageModel.name
