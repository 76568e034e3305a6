"""`tgr embed`: every source of embeddings, and errors."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_clip import NAME, tiny_clip
from toys import write_toy_dataset

from tgr_cli.app import main
from tgr_cli.artifacts import store
from tgr_cli.artifacts.provenance import sha256_file, sha256_names
from tgr_cli.artifacts.schemas import DESCRIPTIONS, EMBEDDINGS, TEXT_EMBEDDINGS
from tgr_cli.data.datasets import NAMED, DataSource, class_names
from tgr_cli.errors import TgrError
from tgr_cli.reporting import Reporter
from tgr_cli.steps import describe, embed
from tgr_cli.text import clip_weights
from tgr_cli.text.initialise import random_embeddings


class Heard(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def _config(dataset: str, **options: object) -> embed.Config:
    return embed.Config(data=DataSource(dataset=dataset), **options)  # type: ignore[arg-type]


def _describe(dataset: str, **options: object) -> Path:
    return describe.run(describe.Config(data=DataSource(dataset=dataset), **options)).path  # type: ignore[arg-type]


def _rows(path: Path) -> np.ndarray:
    return np.stack(store.read(path, EMBEDDINGS).column("embedding"))


def test_tfidf_rows_of_descriptions(tmp_path: Path) -> None:
    described = _describe("digits")
    result = embed.run(_config("digits", encoder="tfidf"))
    artifact = store.read(Path("runs/digits/embeddings-descriptions.parquet"), EMBEDDINGS)
    rows = _rows(result.path)
    assert rows.shape == (10, 50)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    assert (rows @ rows.T)[~np.eye(10, dtype=bool)].max() < 0.5
    assert result.digest.closest[0][:2] == ("six", "nine")
    assert artifact.table["descriptions"].to_pylist() == [5] * 10
    assert all(0.4 < value < 1 for value in artifact.table["spread"].to_pylist())
    assert artifact.provenance.classes == sha256_names(class_names(DataSource(dataset="digits")))
    assert artifact.provenance.inputs == {"descriptions": sha256_file(described)}
    assert artifact.provenance.extra == {"init": "descriptions", "encoder": "tfidf", "dim": 50}
    again = embed.run(_config("digits", encoder="tfidf", out=tmp_path / "again.parquet"))
    assert again.path.read_bytes() == result.path.read_bytes()


@pytest.mark.parametrize("dataset", NAMED)
def test_template_rows_are_distinct_for_every_data_set(dataset: str) -> None:
    heard = Heard()
    result = embed.run(_config(dataset, init="template", encoder="tfidf"), heard)
    assert result.path == Path(f"runs/{dataset}/embeddings-template.parquet")
    assert result.digest.closest[0][2] < 0.97
    assert len(heard.notes) == 1
    assert np.isfinite(_rows(result.path)).all()


def test_random_rows_depend_on_the_seed_alone() -> None:
    result = embed.run(_config("cifar10", init="random", seed=3))
    np.testing.assert_array_equal(_rows(result.path), random_embeddings(10, 512, 3))
    artifact = store.read(result.path, EMBEDDINGS)
    assert artifact.provenance.seed == 3
    assert artifact.table["spread"].null_count == 10
    assert embed.run(_config("cifar10", init="random", embedding_dim=7)).digest.dim == 7


def test_open_clip_rows_equal_its_own_zero_shot_head(tmp_path: Path) -> None:
    """The embeddings equal open_clip's zero-shot head for the same five descriptions per class."""
    import open_clip

    described = store.read(_describe("cifar10"), DESCRIPTIONS).table
    texts: dict[str, list[str]] = {}
    for name, text in zip(described["class_name"].to_pylist(), described["description"].to_pylist(), strict=True):
        texts.setdefault(name, []).append(text)
    heard = Heard()
    with tiny_clip(tmp_path) as checkpoint:
        config = _config("cifar10", clip_model=NAME, clip_pretrained=str(checkpoint), keep_all=True)
        result = embed.run(config, heard)
        alone = embed.run(replace(config, keep_all=False, out=tmp_path / "alone.parquet"))
        model = open_clip.create_model(NAME, pretrained=str(checkpoint)).eval()
        tokenizer = open_clip.get_tokenizer(NAME)
        head_CE = open_clip.build_zero_shot_classifier(
            model, tokenizer, list(texts), [lambda name, n=n: texts[name][n] for n in range(5)]
        ).T.numpy()
        with torch.inference_mode():
            single_NE = model.encode_text(tokenizer(described["description"].to_pylist()), normalize=True).numpy()
    np.testing.assert_allclose(_rows(result.path), head_CE, atol=1e-6)
    assert alone.path.read_bytes() == result.path.read_bytes()
    assert alone.all_path is None
    artifact = store.read(result.path, EMBEDDINGS)
    assert (result.digest.dim, result.digest.texts, result.encoder) == (16, 50, "open_clip tiny-clip/tiny.pt")
    assert artifact.provenance.inputs["weights"] == sha256_file(tmp_path / "tiny.pt")
    assert str(tmp_path) not in artifact.provenance.to_json()

    assert result.all_path == Path("runs/cifar10/embeddings-descriptions-all.parquet")
    kept = store.read(result.all_path, TEXT_EMBEDDINGS)
    np.testing.assert_allclose(np.stack(kept.column("embedding")), single_NE, atol=1e-6)
    assert kept.table["text"].to_pylist() == described["description"].to_pylist()
    cosines_CD = kept.column("cosine").reshape(10, 5)
    np.testing.assert_allclose(cosines_CD.mean(axis=1), artifact.column("spread"), atol=1e-6)
    again = embed.run(_config("cifar10", init="descriptions", encoder="tfidf"), heard)
    assert again.truncated == 0
    assert heard.notes[-1] == f"{result.all_path} is of an earlier run; --keep-all would replace it"


def test_a_checkpoint_whose_activation_nobody_can_check_is_told(tmp_path: Path) -> None:
    (tmp_path / "some.pt").touch()
    told = clip_weights.unknown_activation("ViT-B-32", str(tmp_path / "some.pt"))
    assert told is not None
    assert told.startswith("ViT-B-32 computes GELU, and a checkpoint file does not say what it was trained with")
    assert told.endswith("weights trained with QuickGELU (OpenAI's are) need --clip-model ViT-B-32-quickgelu")
    assert clip_weights.unknown_activation("ViT-B-32", "openai") is None
    assert clip_weights.unknown_activation(NAME, str(tmp_path / "some.pt")) is None


def test_a_stored_matrix_with_rows_picked(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).standard_normal((12, 6)).astype(np.float32)
    torch.save(torch.from_numpy(matrix), tmp_path / "m.pth")
    (tmp_path / "rows.txt").write_text("\n".join(map(str, range(11, 1, -1))), encoding="utf-8")
    result = embed.run(_config("stl10", from_file=tmp_path / "m.pth", rows=tmp_path / "rows.txt", init="template"))
    assert result.path.name == "embeddings-template.parquet"
    expected = matrix[11:1:-1] / np.linalg.norm(matrix[11:1:-1], axis=1, keepdims=True)
    np.testing.assert_allclose(_rows(result.path), expected, rtol=1e-5)
    provenance = store.read(result.path, EMBEDDINGS).provenance
    assert set(provenance.inputs) == {"matrix", "rows"}
    assert provenance.extra == {"init": "template", "encoder": "stored matrix", "dim": 6}
    assert str(tmp_path) not in provenance.to_json()


def test_equal_rows_and_template_descriptions_are_told(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(["cat", "dog", "cat", "cat", *"abcdef"]), encoding="utf-8")
    data = DataSource(dataset="cifar10", class_names=names)
    describe.run(describe.Config(data=data, source="template"))
    heard = Heard()
    embed.run(embed.Config(data=data, encoder="tfidf"), heard)
    assert "holds template descriptions only: these rows are those of --init template" in heard.notes[0]
    assert heard.notes[-1] == (
        '3 pairs of classes have equal embeddings, such as 0 "cat" and 2 "cat": a head starts with equal rows for them'
    )


def test_descriptions_must_exist_and_be_of_these_classes(tmp_path: Path) -> None:
    with pytest.raises(TgrError, match=r'does not exist; run "tgr describe --dataset cifar10" first'):
        embed.run(_config("cifar10", encoder="tfidf"))
    other = _describe("digits")
    with pytest.raises(TgrError, match="describes other classes") as caught:
        embed.run(_config("cifar10", encoder="tfidf", descriptions=other))
    assert '(10, from "zero" to "nine") than cifar10 has (10, from "airplane" to "truck")' in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"init": "descriptors"}, '--init is "descriptors"; use one of random, template, descriptions'),
        ({"encoder": "openclap"}, 'Did you mean "openclip"?'),
        ({"embedding_dim": 0, "encoder": "tfidf"}, "--embedding-dim is 0, where 1 or more is expected"),
        ({"embedding_dim": 64}, "--embedding-dim has no use here: it is for --encoder tfidf and --init random"),
        ({"init": "random", "encoder": "tfidf"}, "--encoder has no use here: --init random needs no text"),
        ({"from_file": Path("m.npy"), "clip_model": "ViT-B-32"}, "--clip-model has no use here: --from-file needs"),
        ({"rows": Path("rows.txt")}, "--rows has no use here: it picks rows of the matrix that --from-file names"),
        ({"encoder": "tfidf", "clip_model": "ViT-B-32"}, "--encoder tfidf is no CLIP model"),
        ({"init": "template", "descriptions": Path("d.parquet")}, "--descriptions has no use here"),
        ({"clip_model": "hf-hub:a/b", "clip_pretrained": "x"}, "--clip-pretrained has no use here: hf-hub:a/b brings"),
        ({"precision": "fp8"}, '--precision is "fp8"; use one of fp32, fp16, bf16'),
        ({"precision": "fp16", "encoder": "tfidf"}, "--precision has no use here: --encoder tfidf is no CLIP model"),
        ({"keep_all": True, "init": "random"}, "--keep-all has no use here: --init random needs no text"),
        ({"row_names": "imagenet"}, "--row-names has no use here: it picks rows of the matrix that --from-file names"),
        ({"from_file": Path("m"), "rows": Path("r"), "row_names": "imagenet"}, "--rows picks the rows; leave it out"),
        ({"prompts": Path("p.toml")}, "--prompts has no use here: it is for --init template"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, object], words: str) -> None:
    with pytest.raises(TgrError, match=re.escape(words)):
        _config("digits", **options)


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "some.pt").touch()
    with pytest.raises(TgrError, match='--device "gpu" cannot be used on this machine'):
        embed.run(_config("digits", init="template", clip_pretrained="some.pt", device="gpu"))


def _tgr(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """Run the command line in this process and return its exit code."""
    monkeypatch.setattr("sys.argv", ["tgr", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    data = f"parquet:{write_toy_dataset(tmp_path / 'toys')}"
    options = ("--dataset", data, "--init", "template", "--encoder", "tfidf")
    assert _tgr(monkeypatch, "embed", *options, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["classes"], said["texts"], said["init"]) == (3, 3, "template")
    assert said["closest"][0]["cosine"] < 0.9
    assert _tgr(monkeypatch, "embed", *options) == 0
    assert "0 dot, 1 bar" in capsys.readouterr().out


def test_offline_the_command_line_names_the_alternatives(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _tgr(monkeypatch, "embed", "--dataset", "digits", "--init", "template") == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert "use --encoder tfidf, --from-file MATRIX" in printed.err


@pytest.mark.shared
def test_real_clip_embeddings(shared_data: Path) -> None:
    """Detic's ViT-B/32 rows: cat and dog, automobile and truck are similar, as in CLIP."""
    result = embed.run(_config("cifar10", from_file=shared_data / "text" / "cifar10_vitb32_a_cname.npy"))
    assert result.digest.dim == 512
    assert {("automobile", "truck"), ("cat", "dog")} & {pair[:2] for pair in result.digest.closest}


@pytest.mark.shared
def test_the_papers_imagenet_rows_picked_for_tiny_imagenet(shared_data: Path, tmp_path: Path) -> None:
    rows = json.loads((shared_data / "tiny_imagenet" / "classes.json").read_text(encoding="utf-8"))["imagenet_index"]
    matrix = shared_data / "text" / "imagenet_gpt3.npy"
    data = f"parquet:{shared_data / 'tiny_imagenet'}"
    with pytest.raises(TgrError, match="has 1000 rows for 200 classes; pick rows by class with --row-names"):
        embed.run(_config(data, from_file=matrix))
    result = embed.run(_config(data, from_file=matrix, row_names="imagenet"))
    # The rows in the file have unit norm up to float16 rounding.
    np.testing.assert_allclose(_rows(result.path), np.load(matrix)[rows], atol=1e-3)
    (tmp_path / "rows.txt").write_text("\n".join(map(str, rows)), encoding="utf-8")
    by_number = embed.run(_config(data, from_file=matrix, rows=tmp_path / "rows.txt", out=tmp_path / "n.parquet"))
    np.testing.assert_array_equal(_rows(by_number.path), _rows(result.path))
