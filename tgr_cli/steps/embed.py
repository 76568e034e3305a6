"""Make the class embeddings that a text-guided head starts from: from descriptions, templates, a matrix, or chance."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import Workspace
from tgr_cli.artifacts.provenance import normalised, sha256_file, sha256_names
from tgr_cli.artifacts.schemas import DESCRIPTIONS, EMBEDDINGS
from tgr_cli.data.datasets import DataSource, class_names
from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.models.loading import usable_device
from tgr_cli.models.source import INITS
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.text import prompts as prompt_files
from tgr_cli.text.encoders import DEFAULT_MODEL, DEFAULT_PRETRAINED, Encoder, OpenClip, Tfidf
from tgr_cli.text.generators import Template
from tgr_cli.text.initialise import RANDOM_DIM, class_embeddings, closest, random_embeddings, spread
from tgr_cli.text.matrices import class_rows, read_matrix

ENCODERS = ("openclip", "tfidf")
PAIRS = 5
SAME = 1 - 1e-6


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the rows are made of. None leaves a choice to the step: openclip, its default model, the largest E.

    `embedding_dim` goes with tfidf and random; `from_file` takes the place of an encoder.
    """

    data: DataSource
    init: str = "descriptions"
    encoder: str | None = None
    clip_model: str | None = None
    clip_pretrained: str | None = None
    embedding_dim: int | None = None
    from_file: Path | None = None
    rows: Path | None = None
    descriptions: Path | None = None
    prompts: Path | None = None
    seed: int = 0
    device: str = "cpu"
    workdir: Path = Path("runs")
    out: Path | None = None

    def __post_init__(self) -> None:
        if self.init not in INITS:
            raise TgrError(f'--init "{self.init}" is none of {", ".join(INITS)}.{did_you_mean(self.init, INITS)}')
        if self.encoder is not None and self.encoder not in ENCODERS:
            hint = did_you_mean(self.encoder, ENCODERS)
            raise TgrError(f'--encoder "{self.encoder}" is none of {", ".join(ENCODERS)}.{hint}')
        if self.embedding_dim is not None and self.embedding_dim < 1:
            raise TgrError(f"--embedding-dim is {self.embedding_dim}, where 1 or more is expected")
        unread = "--from-file" if self.from_file else "--init random" if self.init == "random" else ""
        for name in ("encoder", "clip_model", "clip_pretrained", "descriptions", "prompts"):
            self._refuse(name, f"{unread} needs no text and no encoder" if unread else "")
        self._refuse("rows", "" if self.from_file else "it picks rows of the matrix that --from-file names")
        self._refuse("prompts", "" if self.init == "template" else "it is for --init template; describe takes it too")
        self._refuse("descriptions", "" if self.init == "descriptions" else "it is for --init descriptions")
        for name in ("clip_model", "clip_pretrained"):
            self._refuse(name, "--encoder tfidf is no CLIP model" if self.encoder == "tfidf" else "")
        sized = self.from_file is None and (self.init == "random" or self.encoder == "tfidf")
        self._refuse("embedding_dim", "" if sized else "it is for --encoder tfidf and --init random; E is given here")

    def _refuse(self, name: str, reason: str) -> None:
        if reason and getattr(self, name) is not None:
            raise TgrError(f"--{name.replace('_', '-')} has no use here: {reason}; leave it out")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was written, and how it looks: E, how many texts, mean spread (None without texts), closest pairs."""

    path: Path
    init: str
    encoder: str
    classes: tuple[str, ...]
    dim: int
    texts: int
    spread: float | None
    closest: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Class embeddings with their origin: `embeddings_CE` unit rows; texts and spread a class; inputs by role."""

    embeddings_CE: np.ndarray
    encoder: str
    texts_C: list[int]
    spread_C: list[float | None]
    inputs: dict[str, str]


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Write one unit row a class and return a summary."""
    classes = class_names(config.data)
    path = store.prepare(config.out or Workspace(config.workdir, config.data.folder).embeddings(config.init))
    rows = _rows(config, classes, reporter)
    pairs = closest(rows.embeddings_CE, PAIRS)
    _note_equal_rows(pairs, classes, reporter)
    dim = rows.embeddings_CE.shape[1]
    store.write(
        path,
        EMBEDDINGS,
        {
            "class_index": range(len(classes)),
            "class_name": classes,
            "embedding": list(rows.embeddings_CE),
            "descriptions": rows.texts_C,
            "spread": rows.spread_C,
        },
        store.provenance_for(
            EMBEDDINGS,
            config=normalised(_without_paths(config)),
            seed=config.seed if config.init == "random" else None,
            classes=sha256_names(classes),
            inputs=rows.inputs,
            extra={"init": config.init, "encoder": rows.encoder, "dim": dim},
        ),
    )
    spreads = [value for value in rows.spread_C if value is not None]
    return Result(
        path=path,
        init=config.init,
        encoder=rows.encoder,
        classes=classes,
        dim=dim,
        texts=sum(rows.texts_C),
        spread=float(np.mean(spreads)) if spreads else None,
        closest=tuple((classes[first], classes[second], cosine) for first, second, cosine in pairs),
    )


def _note_equal_rows(pairs: list[tuple[int, int, float]], classes: tuple[str, ...], reporter: Reporter) -> None:
    same = [(first, second) for first, second, cosine in pairs if cosine > SAME]
    if same:
        many = f"{'at least ' if len(same) == PAIRS else ''}{len(same)} pair{'s' if len(same) > 1 else ''} of classes"
        first, second = same[0]
        reporter.note(
            f'{many} have equal embeddings, such as {first} "{classes[first]}" and {second} "{classes[second]}": '
            "a head starts with equal rows for them"
        )


def _rows(config: Config, classes: tuple[str, ...], reporter: Reporter) -> Rows:
    if config.from_file is not None:
        matrix_NE = read_matrix(config.from_file)
        rows_CE = class_rows(config.from_file, matrix_NE, len(classes), config.rows)
        inputs = {"matrix": sha256_file(config.from_file)}
        inputs |= {"rows": sha256_file(config.rows)} if config.rows else {}
        return _without_texts(rows_CE, "stored matrix", inputs)
    if config.init == "random":
        dim = config.embedding_dim or RANDOM_DIM
        return _without_texts(random_embeddings(len(classes), dim, config.seed), "none", {})
    texts, inputs = _texts(config, classes, reporter)
    encoder = _encoder(config)
    every_NE = encoder.encode([text for of_class in texts for text in of_class], reporter)
    by_class = np.split(every_NE, np.cumsum([len(of_class) for of_class in texts])[:-1])
    rows_CE = class_embeddings(by_class)
    return Rows(
        embeddings_CE=rows_CE,
        encoder=encoder.name,
        texts_C=[len(of_class) for of_class in texts],
        spread_C=[spread(row_E, texts_DE) for row_E, texts_DE in zip(rows_CE, by_class, strict=True)],
        inputs=inputs | encoder.inputs,
    )


def _without_texts(rows_CE: np.ndarray, encoder: str, inputs: dict[str, str]) -> Rows:
    none: list[float | None] = [None] * len(rows_CE)
    return Rows(embeddings_CE=rows_CE, encoder=encoder, texts_C=[0] * len(rows_CE), spread_C=none, inputs=inputs)


def _encoder(config: Config) -> Encoder:
    if config.encoder == "tfidf":
        return Tfidf(config.embedding_dim)
    device = str(usable_device(config.device))
    return OpenClip(config.clip_model or DEFAULT_MODEL, config.clip_pretrained or DEFAULT_PRETRAINED, device=device)


def _texts(config: Config, classes: tuple[str, ...], reporter: Reporter) -> tuple[list[list[str]], dict[str, str]]:
    """Return each class's texts, and the SHA-256 of what they were read from."""
    texts: list[list[str]] = [[] for _ in classes]
    if config.init == "template":
        prompts = prompt_files.for_dataset(config.data.dataset, config.data.folder, config.prompts, reporter)
        for described in Template(prompts).describe(classes, reporter):
            texts[described.class_index].append(described.text)
        return texts, {"prompts": prompts.sha256}
    path = config.descriptions or Workspace(config.workdir, config.data.folder).descriptions
    artifact = store.read(path, DESCRIPTIONS, f"tgr describe --dataset {config.data.dataset}")
    if artifact.provenance.classes != sha256_names(classes):
        theirs = dict.fromkeys(artifact.table["class_name"].to_pylist())
        raise TgrError(
            f"{path} describes other classes ({_named(tuple(theirs))}) than {config.data.folder} has "
            f'({_named(classes)}); run "tgr describe --dataset {config.data.dataset}" again'
        )
    for index, text in zip(artifact.column("class_index"), artifact.table["description"].to_pylist(), strict=True):
        if text is not None:  # a question that the language model gave no answer to
            texts[index].append(text)
    empty = [name for name, of_class in zip(classes, texts, strict=True) if not any(map(str.strip, of_class))]
    if empty:
        raise TgrError(f'{path} has no description of "{empty[0]}"; run "tgr describe" again')
    if set(artifact.table["source"].to_pylist()) == {Template.name}:
        reporter.note(f"{path} holds template descriptions only: these rows are those of --init template")
    return texts, {"descriptions": artifact.sha256}


def _named(classes: tuple[str, ...]) -> str:
    return f'{len(classes)}, from "{classes[0]}" to "{classes[-1]}"' if classes else "none"


def _without_paths(config: Config) -> Config:
    """Return the config with a local checkpoint's name for its path: artifacts hold no paths."""
    tag = config.clip_pretrained
    return replace(config, clip_pretrained=Path(tag).name) if tag and Path(tag).is_file() else config
