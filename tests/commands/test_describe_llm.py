"""`tgr describe` with a language model: estimate, consent, totals; the key appears in none of them."""

import io
import json
import shlex
import sys
from pathlib import Path

import pytest
from llm_server import serving

from tgr_cli.app import main
from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import DESCRIPTIONS

KEY = "sk-very-secret-0123456789"
OUT = Path("runs/digits/descriptions.parquet")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Return a function that types a command and returns its exit code, stdout and stderr."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def type_(command: str, answer: str | None = None) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["tgr", *shlex.split(command)])
        with monkeypatch.context() as patch:
            if answer is not None:
                patch.setattr(sys, "stdin", Terminal(answer))
                patch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
            with pytest.raises(SystemExit) as left:
                main()
        return left.value.code, *capsys.readouterr()

    return type_


def files() -> list[Path]:
    return [path for path in Path().rglob("*") if path.is_file()]


def test_without_a_key_one_helpful_sentence(typed) -> None:
    code, out, err = typed("describe --dataset imagenet")
    assert (code, out) == (1, "")
    assert err.startswith("tgr: descriptions that are not stored come from a language model, and there is no key for")
    assert err.count("\n") == 1
    assert all(way in err for way in ("TGR_LLM_API_KEY", "--base-url", "--source template", "--from-file"))
    assert files() == []


def test_off_a_terminal_nothing_is_bought_without_yes(typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    code, out, err = typed("describe --dataset imagenet --price-in 0.15 --price-out 0.6")
    assert (code, out) == (1, "")
    assert err.startswith("tgr: this would put 5,000 questions to gpt-4o-mini at api.openai.com, about 2")
    assert err.endswith(
        " tokens in and at most 1,280,000 out, cost 0.80; add --yes to agree, or look at it first with --dry-run\n"
    )
    assert files() == []


def test_a_dry_run_shows_the_prompts_of_one_class_and_asks_nothing(typed) -> None:
    code, out, err = typed("describe --dataset cifar100 --dry-run --source llm --samples-per-question 3")
    assert (code, err) == (0, "")
    first, *prompts = out.splitlines()
    assert first.startswith("1,500 questions to gpt-4o-mini at api.openai.com, about ")
    assert first.endswith("out, cost unknown without --price-in and --price-out; of one class:")
    assert len(prompts) == 5
    assert prompts[0].startswith("  Describe what an apple looks like in a small photo. Answer in one plain English")
    told = json.loads(typed("describe --dataset cifar100 --dry-run --source llm --json")[1])
    assert (told["requests"], told["questions"], told["answered"], told["tokens_out"]) == (500, 500, 0, 128_000)
    assert json.loads(typed("describe --dataset digits --dry-run --json")[1]) == {"requests": 0}
    assert files() == []


def test_from_the_offer_to_the_account(typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TGR_LLM_API_KEY", KEY)
    Path("mine.txt").write_text("# mine\n\nWhat is {a_class}?\nWho wrote {class}?\n")
    with serving(lambda prompt, times: "refused" if "zero" in prompt else "key") as server:
        command = f"describe --dataset digits --base-url {server.url} --llm toy --questions mine.txt "
        command += "--price-in 1000 --price-out 1000"
        code, out, err = typed(command, answer="n\n")
        assert (code, out) == (1, "")
        assert f"This puts 20 questions to toy at 127.0.0.1:{server.port}, about " in err
        assert err.endswith("tgr: cancelled: nothing was asked and nothing written\n")
        assert server.asked.total() == 0
        code, out, err = typed(command, answer="y\n")
        assert code == 0
        assert server.asked.total() == 24
        assert "18 llm descriptions of 10 classes" in out
        assert (
            "2 questions have no description (2 refused):\n  zero: What is a zero? (refused)\n  zero: Who wrote zero?"
            in out
        )
        assert "24 answers took 720 tokens in and 240 out, cost 0.96\n18 were cleaned" in out
        # Everything is answered: no consent, key or server is needed.
        monkeypatch.delenv("TGR_LLM_API_KEY")
        first = OUT.read_bytes()
        told = json.loads(typed(f"{command} --json")[1])
        assert server.asked.total() == 24
    assert OUT.read_bytes() == first
    assert (told["descriptions"], len(told["missing"])) == (18, 2)
    assert told["missing"][0] == {"class": "zero", "question": "What is a zero?", "sample": 0, "status": "refused"}
    used = {"answers": 24, "tokens_in": 720, "tokens_out": 240, "cost": 0.96, "cleaned": 18, "cut": 0}
    used |= {"trimmed": 0, "without_temperature": 0}
    assert told["usage"] == used
    record = json.loads(store.run_record(OUT).read_text())
    assert record["usage"] == used
    artifact = store.read(OUT, DESCRIPTIONS)
    assert artifact.provenance.extra["answers"] == {"ok": 18, "refused": 2}
    assert artifact.provenance.extra["questions"] == artifact.provenance.inputs["questions"]
    assert artifact.provenance.config["endpoint"] == {
        "llm": "toy",
        "temperature": 1.0,
        "max_tokens": 256,
        "samples_per_question": 1,
    }
    assert set(artifact.table["source"].to_pylist()) == {"toy"}
    assert [path.name for path in files() if KEY.encode() in path.read_bytes()] == []
    assert sorted(path.name for path in files() if path.parent == OUT.parent) == [
        "descriptions.answers.jsonl",
        "descriptions.parquet",
        "descriptions.run.json",
    ]


def test_a_folder_s_own_file_cannot_agree_for_the_user(typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TGR_LLM_API_KEY", KEY)
    with serving() as server:
        toml = f'[describe]\nbase-url = "{server.url}"\nllm = "toy"\n'
        Path("tgr.toml").write_text(f"{toml}yes = true\n")
        code, out, err = typed("describe --dataset digits")
        assert (code, out) == (1, "")
        assert err.startswith("tgr: tgr.toml sets yes, and only who runs the command can agree")
        assert (server.asked.total(), server.elsewhere) == (0, 0)
        Path("tgr.toml").write_text(toml)
        assert typed("describe --dataset digits --yes")[0] == 0
    assert server.asked.total() == 50


def test_a_server_named_is_asked_though_descriptions_are_stored(typed) -> None:
    with serving() as server:
        code, out, err = typed(f"describe --dataset digits --base-url {server.url} --llm toy --yes")
    assert (code, server.asked.total()) == (0, 50)
    assert err.startswith(f"This puts 50 questions to toy at 127.0.0.1:{server.port}, about ")
    assert "--base-url asks a language model, though descriptions are stored for these classes\n" in err
    assert out.startswith("50 llm descriptions of 10 classes\n  zero: Its mark is ")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("--source stored --llm toy", "--llm is for --source llm and has no use with --source stored"),
        ("--source template --questions q.txt", "--questions is for --source llm and has no use with"),
        ("--from-file d.json --base-url http://x/v1 --llm toy", "--base-url is for --source llm and has no use with"),
        ("--from-file d.json --source stored", "--from-file brings the descriptions itself"),
        ("--questions missing.txt", "missing.txt does not exist; give --questions a text file with one"),
        ("--questions empty.txt", "empty.txt asks nothing; write one question a line, with {a_class}"),
        ("--questions bare.txt", '"What is it?" needs {class} or {a_class}'),
        ("--prompts bare.toml --source llm", "bare.toml holds no questions to ask; add some, or give --questions FILE"),
    ],
)
def test_refused_in_a_sentence(command: str, words: str, typed) -> None:
    Path("empty.txt").write_text("# nothing\n")
    Path("bare.txt").write_text("What is it?\n")
    Path("bare.toml").write_text('templates = ["a {class}"]\n')
    code, out, err = typed(f"describe --dataset digits {command}")
    assert (code, out) == (1, "")
    assert words in err
    assert err.count("\n") == 1
    assert not Path("runs").exists()
