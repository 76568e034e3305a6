"""`tgr describe`: the output for each source, and errors."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from toys import write_toy_dataset, write_toy_parquet

from tgr_cli.app import main
from tgr_cli.artifacts import store
from tgr_cli.artifacts.provenance import sha256_names
from tgr_cli.artifacts.schemas import DESCRIPTIONS
from tgr_cli.data.datasets import DataSource
from tgr_cli.errors import TgrError
from tgr_cli.reporting import Reporter
from tgr_cli.steps import describe
from tgr_cli.text import prompts


class Heard(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def _config(dataset: str, name: str | None = None, **options: object) -> describe.Config:
    return describe.Config(data=DataSource(dataset=dataset, name=name), **options)  # type: ignore[arg-type]


def test_stored_descriptions_are_the_default_where_they_exist() -> None:
    heard = Heard()
    result = describe.run(_config("digits"), heard)
    assert (result.path, result.source, heard.notes) == (Path("runs/digits/descriptions.parquet"), "stored", [])
    artifact = store.read(result.path, DESCRIPTIONS)
    rows = artifact.table.to_pylist()
    assert len(rows) == 50
    assert rows[0] == {
        "class_index": 0,
        "class_name": "zero",
        "question": "Which strokes make up the digit zero when it is written by hand?",
        "sample": 0,
        "description": prompts.load("digits").descriptions["zero"][0],
        "status": "ok",
        "source": "stored",
    }
    assert artifact.provenance.classes == sha256_names(result.classes)
    assert artifact.provenance.extra == {
        "source": "stored",
        "prompt_set": "digits",
        "prompts": prompts.load("digits").sha256,
    }


def test_equal_runs_give_equal_bytes_wherever_they_are_written(tmp_path: Path) -> None:
    first = describe.run(_config("stl10", workdir=tmp_path / "a")).path.read_bytes()
    assert describe.run(_config("stl10", out=tmp_path / "b.parquet")).path.read_bytes() == first


def test_templates_are_for_the_asking() -> None:
    result = describe.run(_config("imagenet", source="template"))
    assert (len(result.classes), len(result.descriptions), result.source) == (1000, 1000, "template")
    assert result.descriptions[0].text == "a photo of a tench"
    assert describe.run(_config("digits", source="template")).descriptions[8].text.endswith("digit eight")


def test_a_language_model_is_the_default_where_nothing_is_stored_and_is_not_asked_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    data = f"parquet:{write_toy_dataset(tmp_path / 'toys')}"
    for config in (_config("imagenet"), _config(data), _config(data, name="digits")):
        estimate = describe.estimate(config)
        assert estimate is not None
        assert estimate.requests == estimate.questions == 5 * (1000 if config.data.dataset == "imagenet" else 3)
        heard = Heard()
        with pytest.raises(TgrError, match="set TGR_LLM_API_KEY or OPENAI_API_KEY, name a server of your own"):
            describe.run(config, heard)
    assert heard.notes == [
        "3 of 3 classes have no stored description: dot, bar, ring; a language model is asked "
        "(--source template asks none)"
    ]
    assert describe.estimate(_config("digits")) is None
    assert not [path for path in Path("runs").rglob("*") if path.is_file()]


def test_a_folder_called_after_a_known_set_with_its_classes_has_its_descriptions(tmp_path: Path) -> None:
    path = write_toy_parquet(tmp_path / "own" / "test.parquet")
    table = pq.read_table(path).replace_schema_metadata({"classes": "airplane\ncar\nship"})
    pq.write_table(table, path)
    result = describe.run(_config(f"parquet:{tmp_path / 'own'}", name="stl10"))
    assert result.source == "stored"
    assert result.descriptions[5].text == prompts.load("stl10").descriptions["car"][0]


def test_the_users_own_prompts(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        'templates = ["a sketch of {a_class}"]\n'
        '[descriptions]\ndot = ["one", "two"]\nbar = ["three"]\nring = ["four"]\n',
        encoding="utf-8",
    )
    data = f"parquet:{write_toy_dataset(tmp_path / 'toys')}"
    result = describe.run(_config(data, prompts=own))
    assert [(d.class_name, d.text) for d in result.descriptions] == [
        ("dot", "one"),
        ("dot", "two"),
        ("bar", "three"),
        ("ring", "four"),
    ]
    assert describe.run(_config(data, prompts=own, source="template")).descriptions[0].text == "a sketch of a dot"


def test_stored_where_none_exist_names_the_alternatives() -> None:
    with pytest.raises(
        TgrError, match="no descriptions are stored for food101; use --source llm, --source template"
    ) as caught:
        describe.run(_config("food101", source="stored"))
    assert "cifar10, digits, fashion_mnist, stl10" in str(caught.value)
    assert not Path("runs").exists()
    with pytest.raises(TgrError, match=r'--source is "stord"; use one of stored, llm, .* Did you mean "stored"\?'):
        _config("digits", source="stord")


def _tgr(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """Run the command line in this process and return its exit code."""
    monkeypatch.setattr("sys.argv", ["tgr", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


def test_command_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert _tgr(monkeypatch, "describe", "--dataset", "digits") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("50 stored descriptions of 10 classes\n  zero: A zero is one closed oval")
    assert "wrote runs/digits/descriptions.parquet" in printed.err
    assert Path("runs/digits/descriptions.run.json").exists()


def test_command_line_refuses_in_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _tgr(monkeypatch, "describe", "--dataset", "food101", "--source", "stored") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("tgr: no descriptions are stored for food101")
    assert printed.err.count("\n") == 1
