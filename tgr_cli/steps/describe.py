"""Describe the classes of a data set in sentences: stored ones where they exist, templates elsewhere."""

from dataclasses import dataclass
from pathlib import Path

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import Workspace
from tgr_cli.artifacts.provenance import normalised, sha256_names
from tgr_cli.artifacts.schemas import DESCRIPTIONS
from tgr_cli.data.datasets import DataSource, class_names
from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.text import prompts as prompt_files
from tgr_cli.text.generators import GENERATORS, Description
from tgr_cli.text.prompts import PromptSet


@dataclass(frozen=True, kw_only=True)
class Config:
    """`source` is stored or template; None takes stored descriptions where every class has some, else templates."""

    data: DataSource
    source: str | None = None
    prompts: Path | None = None
    workdir: Path = Path("runs")
    out: Path | None = None

    def __post_init__(self) -> None:
        if self.source is not None and self.source not in GENERATORS:
            raise TgrError(
                f'--source "{self.source}" is none of {", ".join(GENERATORS)}.{did_you_mean(self.source, GENERATORS)}'
            )


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was written: where, from which source, and the descriptions in the order of the file."""

    path: Path
    source: str
    classes: tuple[str, ...]
    descriptions: tuple[Description, ...]


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Write the descriptions of a data set's classes and return them; no image is needed."""
    classes = class_names(config.data)
    prompts = prompt_files.for_dataset(config.data.dataset, config.data.folder, config.prompts, reporter)
    source = _source(config, prompts, classes, reporter)
    path = store.prepare(config.out or Workspace(config.workdir, config.data.folder).descriptions)
    described = tuple(sorted(GENERATORS[source](prompts).describe(classes, reporter)))
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
            config=normalised(config),
            classes=sha256_names(classes),
            inputs={"prompts": prompts.sha256},
            extra={"source": source, "prompts": prompts.sha256, "prompt_set": prompts.name},
        ),
    )
    return Result(path=path, source=source, classes=classes, descriptions=described)


def _source(config: Config, prompts: PromptSet, classes: tuple[str, ...], reporter: Reporter) -> str:
    missing = prompts.missing(classes)
    if config.source == "template" or not missing:
        return config.source or "stored"
    what = f"no descriptions are stored for {config.data.folder}"
    if prompts.descriptions:
        what = f'the descriptions stored in {prompts.name}.toml have none for "{missing[0]}"'
        what += f" and {len(missing) - 1} more classes" if len(missing) > 1 else ""
    if config.source == "stored":
        raise TgrError(
            f"{what}; use --source template, your own with --prompts FILE, or one of the data sets that have some: "
            f"{', '.join(prompt_files.with_descriptions())}"
        )
    example = prompts.render(prompts.templates[0], 0, classes[0])
    reporter.note(f'{what}: template descriptions are written instead, such as "{example}"')
    return "template"
