"""Make the class embeddings for a text-guided head: from descriptions, templates, a matrix, or at random."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tgr_cli import defaults
from tgr_cli.artifacts import store
from tgr_cli.artifacts.columns import Schema
from tgr_cli.artifacts.layout import INITS, Workspace, text_embeddings
from tgr_cli.artifacts.provenance import Provenance, normalised, sha256_file, sha256_names
from tgr_cli.artifacts.schemas import DESCRIPTIONS, EMBEDDINGS, TEXT_EMBEDDINGS
from tgr_cli.data import row_names
from tgr_cli.data.source import DataSource, class_names
from tgr_cli.errors import TgrError, one_of
from tgr_cli.paths import place
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.text import clip_weights, digest
from tgr_cli.text import prompts as prompt_files
from tgr_cli.text.digest import EmbeddingsDigest, Pair
from tgr_cli.text.encoders import Encoder, Tfidf
from tgr_cli.text.generators import Template
from tgr_cli.text.initialise import class_embeddings, random_embeddings, spread
from tgr_cli.text.matrices import class_rows, read_matrix

ENCODERS = ("openclip", "tfidf")
SAME = 1 - 1e-6


@dataclass(frozen=True, kw_only=True)
class Config:
    """The source of the embeddings. None selects defaults: openclip, its default model, the largest E, fp32.

    `embedding_dim` is for tfidf and random; `from_file` replaces an encoder, and `rows` (numbers) or `row_names` (a
    data set, or a file of names) selects its rows. `keep_all` also writes each text's embedding.
    """

    data: DataSource
    init: str = defaults.INIT
    encoder: str | None = None
    clip_model: str | None = None
    clip_pretrained: str | None = None
    precision: str | None = None
    embedding_dim: int | None = None
    keep_all: bool = False
    from_file: Path | None = None
    rows: Path | None = None
    row_names: str | None = None
    descriptions: Path | None = None
    prompts: Path | None = None
    seed: int = defaults.SEED
    device: str = defaults.DEVICE
    workdir: Path = defaults.WORKDIR
    out: Path | None = None

    def __post_init__(self) -> None:
        one_of("--init", self.init, INITS)
        one_of("--encoder", self.encoder, ENCODERS)
        one_of("--precision", self.precision, clip_weights.PRECISIONS)
        if self.embedding_dim is not None and self.embedding_dim < 1:
            raise TgrError(f"--embedding-dim is {self.embedding_dim}, where 1 or more is expected")
        unread = "--from-file" if self.from_file else "--init random" if self.init == "random" else ""
        for name in ("encoder", "clip_model", "clip_pretrained", "precision", "descriptions", "prompts", "keep_all"):
            self._refuse(name, f"{unread} needs no text and no encoder" if unread else "")
        for name in ("rows", "row_names"):
            self._refuse(name, "" if self.from_file else "it picks rows of the matrix that --from-file names")
        self._refuse("row_names", "--rows picks the rows" if self.rows else "")
        self._refuse("prompts", "" if self.init == "template" else "it is for --init template; describe takes it too")
        self._refuse("descriptions", "" if self.init == "descriptions" else "it is for --init descriptions")
        for name in ("clip_model", "clip_pretrained", "precision"):
            self._refuse(name, "--encoder tfidf is no CLIP model" if self.encoder == "tfidf" else "")
        bundled = (self.clip_model or "").startswith((clip_weights.HUB, clip_weights.FOLDER))
        self._refuse("clip_pretrained", f"{self.clip_model} brings its weights" if bundled else "")
        sized = self.from_file is None and (self.init == "random" or self.encoder == "tfidf")
        self._refuse("embedding_dim", "" if sized else "it is for --encoder tfidf and --init random; E is given here")

    def _refuse(self, name: str, reason: str) -> None:
        if reason and getattr(self, name) not in (None, False):
            raise TgrError(f"--{name.replace('_', '-')} has no use here: {reason}; leave it out")

    @property
    def described_in(self) -> Path:
        """Return the `descriptions` artifact to read: the given one, else that of the data set's folder."""
        return self.descriptions or Workspace(self.workdir, self.data.folder).descriptions

    @property
    def clip(self) -> tuple[str, str] | None:
        """Return the CLIP model and its weights (tag or file), None for other encoders."""
        if self.from_file is not None or self.init == "random" or self.encoder == "tfidf":
            return None
        return self.clip_model or defaults.CLIP_MODEL, self.clip_pretrained or defaults.CLIP_PRETRAINED


@dataclass(frozen=True, kw_only=True)
class Result:
    """The artifacts written (`all_path`: the texts' embeddings, if kept), their source, and a summary.

    `truncated` counts texts cut at the encoder's maximum number of tokens.
    """

    path: Path
    all_path: Path | None
    init: str
    encoder: str
    truncated: int
    digest: EmbeddingsDigest


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Class embeddings with their origin: `embeddings_CE` unit-norm rows; texts and spread per class; inputs by role.

    `texts` holds each class's texts, and `texts_NE` their embeddings in the same order; both are empty without texts.
    """

    embeddings_CE: np.ndarray
    encoder: str
    spread_C: list[float | None]
    inputs: dict[str, str]
    texts: list[list[str]]
    texts_NE: np.ndarray
    truncated: int = 0


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Write one unit-norm row per class, with `keep_all` also one per text, and return a summary."""
    classes = class_names(config.data, reporter)
    path = config.out or Workspace(config.workdir, config.data.folder).embeddings(config.init)
    store.prepare(path, EMBEDDINGS.kind, config)
    if config.keep_all:
        store.prepare(text_embeddings(path), TEXT_EMBEDDINGS.kind, config)
    rows = _rows(config, classes, reporter)
    texts_C = [len(of_class) for of_class in rows.texts]
    seen = digest.of_embeddings(classes, rows.embeddings_CE, texts_C, rows.spread_C)
    _note_equal_rows(seen.closest, reporter)

    def provenance(schema: Schema) -> Provenance:
        return store.provenance_for(
            schema,
            config=normalised(_without_paths(config)),
            seed=config.seed if config.init == "random" else None,
            classes=sha256_names(classes),
            inputs=rows.inputs,
            extra={"init": config.init, "encoder": rows.encoder, "dim": seen.dim},
        )

    all_path = text_embeddings(path)
    if config.keep_all:
        store.write(all_path, TEXT_EMBEDDINGS, _text_columns(rows, classes), provenance(TEXT_EMBEDDINGS))
    elif all_path.exists():
        reporter.note(f"{all_path} is of an earlier run; --keep-all would replace it")
    columns = {
        "class_index": range(len(classes)),
        "class_name": classes,
        "embedding": list(rows.embeddings_CE),
        "descriptions": texts_C,
        "spread": rows.spread_C,
    }
    store.write(path, EMBEDDINGS, columns, provenance(EMBEDDINGS))
    return Result(
        path=path,
        all_path=all_path if config.keep_all else None,
        init=config.init,
        encoder=rows.encoder,
        truncated=rows.truncated,
        digest=seen,
    )


def _text_columns(rows: Rows, classes: tuple[str, ...]) -> dict[str, Sequence[object]]:
    index_N = np.repeat(np.arange(len(classes)), [len(of_class) for of_class in rows.texts])
    own_NE = rows.embeddings_CE[index_N].astype(np.float64)
    return {
        "class_index": index_N.tolist(),
        "class_name": [classes[index] for index in index_N],
        "text": [text for of_class in rows.texts for text in of_class],
        "embedding": list(rows.texts_NE),
        "cosine": (own_NE * rows.texts_NE).sum(axis=1).tolist(),
    }


def _note_equal_rows(pairs: tuple[Pair, ...], reporter: Reporter) -> None:
    same = [pair for pair in pairs if pair.cosine > SAME]
    if same:
        least = "at least " if len(same) == digest.SHOWN else ""
        many = f"{least}{len(same)} pair{'s' if len(same) > 1 else ''} of classes"
        pair = same[0]
        reporter.note(
            f'{many} have equal embeddings, such as {pair.first_index} "{pair.first}" and {pair.second_index} '
            f'"{pair.second}": a head starts with equal rows for them'
        )


def _rows(config: Config, classes: tuple[str, ...], reporter: Reporter) -> Rows:
    if config.from_file is not None:
        return _stored_rows(config, classes)
    if config.init == "random":
        dim = config.embedding_dim or defaults.RANDOM_DIM
        return _without_texts(random_embeddings(len(classes), dim, config.seed), "none", {})
    texts, inputs = _texts(config, classes, reporter)
    encoder = _encoder(config, reporter)
    texts_NE = encoder.encode([text for of_class in texts for text in of_class], reporter)
    by_class = np.split(texts_NE, np.cumsum([len(of_class) for of_class in texts])[:-1])
    rows_CE = class_embeddings(by_class)
    return Rows(
        embeddings_CE=rows_CE,
        encoder=encoder.name,
        spread_C=[spread(row_E, texts_DE) for row_E, texts_DE in zip(rows_CE, by_class, strict=True)],
        inputs=inputs | encoder.inputs,
        texts=texts,
        texts_NE=texts_NE,
        truncated=encoder.truncated,
    )


def _stored_rows(config: Config, classes: tuple[str, ...]) -> Rows:
    assert config.from_file is not None
    matrix_NE, picked = read_matrix(config.from_file), None
    inputs = {"matrix": sha256_file(config.from_file)}
    if config.rows is not None:
        picked = row_names.by_number(config.rows, len(matrix_NE), len(classes))
        inputs["rows"] = sha256_file(config.rows)
    elif config.row_names is not None:
        picked = row_names.by_name(config.row_names, len(matrix_NE), classes)
        inputs |= {"row_names": sha256_file(place(config.row_names))} if place(config.row_names).is_file() else {}
    return _without_texts(class_rows(config.from_file, matrix_NE, len(classes), picked), "stored matrix", inputs)


def _without_texts(rows_CE: np.ndarray, encoder: str, inputs: dict[str, str]) -> Rows:
    return Rows(
        embeddings_CE=rows_CE,
        encoder=encoder,
        spread_C=[None] * len(rows_CE),
        inputs=inputs,
        texts=[[] for _ in rows_CE],
        texts_NE=np.empty((0, rows_CE.shape[1]), np.float32),
    )


def _encoder(config: Config, reporter: Reporter) -> Encoder:
    if config.clip is None:
        return Tfidf(config.embedding_dim)
    from tgr_cli.models.loading import usable_device  # torch takes seconds to import
    from tgr_cli.text.openclip import OpenClip

    device = str(usable_device(config.device))
    encoder = OpenClip(*config.clip, device=device, precision=config.precision or defaults.PRECISION)
    unknown = clip_weights.unknown_activation(*config.clip)
    if unknown:
        reporter.note(unknown)
    return encoder


def _texts(config: Config, classes: tuple[str, ...], reporter: Reporter) -> tuple[list[list[str]], dict[str, str]]:
    """Return each class's texts, and the SHA-256 of their source by role."""
    texts: list[list[str]] = [[] for _ in classes]
    if config.init == "template":
        prompts = prompt_files.for_dataset(config.data.dataset, config.data.folder, config.prompts, reporter)
        for described in Template(prompts).describe(classes, reporter):
            texts[described.class_index].append(described.text)
        return texts, {"prompts": prompts.sha256}
    path = config.described_in
    artifact = store.read(path, DESCRIPTIONS, f"tgr describe --dataset {config.data.dataset}")
    if artifact.provenance.classes != sha256_names(classes):
        theirs = dict.fromkeys(artifact.table["class_name"].to_pylist())
        raise TgrError(
            f"{path} describes other classes ({_named(tuple(theirs))}) than {config.data.folder} has "
            f'({_named(classes)}); run "tgr describe --dataset {config.data.dataset}" again'
        )
    for index, text in zip(artifact.column("class_index"), artifact.table["description"].to_pylist(), strict=True):
        if text is not None:  # None: the language model gave no answer to this question
            texts[index].append(text)
    missing = artifact.table["description"].null_count
    if missing:
        reporter.note(f"{missing} of {len(artifact.table)} questions in {path} have no description and are left out")
    empty = [name for name, of_class in zip(classes, texts, strict=True) if not any(map(str.strip, of_class))]
    if empty:
        raise TgrError(f'{path} has no description of "{empty[0]}"; run "tgr describe" again')
    if set(artifact.table["source"].to_pylist()) == {Template.name}:
        reporter.note(f"{path} holds template descriptions only: these rows are those of --init template")
    return texts, {"descriptions": artifact.sha256}


def _named(classes: tuple[str, ...]) -> str:
    return f'{len(classes)}, from "{classes[0]}" to "{classes[-1]}"' if classes else "none"


def _without_paths(config: Config) -> Config:
    """Return the config with file names in place of paths: artifacts contain no local paths."""

    def bare(value: str | None) -> str | None:
        return place(value).name if value and place(value).is_file() else value

    return replace(config, clip_pretrained=bare(config.clip_pretrained), row_names=bare(config.row_names))
