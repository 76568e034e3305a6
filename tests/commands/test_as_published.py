"""`--as-published` sets a paper's protocol beneath the options that are given beside it, and says so."""

import json
from pathlib import Path
from typing import Any

import pytest
from toys import toy_net, toy_tensors, write_toy_dataset
from toys_artifacts import invoke

from tgr_cli import api, defaults
from tgr_cli.artifacts import store
from tgr_cli.commands import COMMANDS
from tgr_cli.commands.as_published import apply, sentences, source_of
from tgr_cli.commands.group import built
from tgr_cli.errors import TgrError
from tgr_cli.published.protocols import PROTOCOLS

TOY = "--model toys:build_toy --dataset parquet:toy --crop 8 --mean 0.5 --std 0.5 --weights none"
PAIRS = [(protocol, command) for protocol, paper in PROTOCOLS.items() for command in paper.options]


def context(line: str, file: dict[str, Any] | None = None) -> Any:
    """Return the context of a command line, with a protocol applied; `file` are the values of tgr.toml."""
    name, *arguments = line.split()
    made = built(name).make_context(name, arguments, default_map=file, auto_envvar_prefix="TGR_INJECT")
    apply(made)
    return made


@pytest.mark.parametrize(("protocol", "command"), PAIRS)
def test_every_option_of_a_protocol_is_one_of_its_command_and_is_set(protocol: str, command: str) -> None:
    line = f"{command} {'a' if command == 'protect' else TOY if 'sweep' not in command else ''}"
    made = context(f"{line} --as-published {protocol}")
    for name, value in PROTOCOLS[protocol].options[command].items():
        assert made.params[name] == (list(value) if isinstance(value, tuple) else value)
        assert source_of(made, name) == f"--as-published {protocol}"
    assert len(sentences(made)) == 1


def test_the_protocols_are_those_of_the_papers() -> None:
    """NeurIPS 2023, section 5.2: 4096 flips a layer; ISSRE 2021, VI: INT8, convolutions, 12,288 a feature map."""
    neurips, issre = (PROTOCOLS[name].options["inject"] for name in ("neurips", "issre"))
    assert [neurips[name] for name in ("sampling", "injections", "granularity", "format", "limit", "targets")] == [
        *("uniform", 4096, "site", None, "clamp", "conv,linear")
    ]
    assert [issre[name] for name in ("sampling", "injections", "granularity", "format", "limit", "targets")] == [
        *("uniform", 12288, "map", "int8", "format", "conv")
    ]
    assert (neurips["all_images"], issre["all_images"]) == (False, False)


def test_what_is_typed_beside_a_protocol_wins_and_is_said() -> None:
    made = context(f"inject {TOY} --as-published issre --injections 64 --limit clamp --all-images --targets conv")
    assert {name: made.params[name] for name in ("injections", "limit", "all_images", "format")} == {
        **{"injections": 64, "limit": "clamp", "all_images": True},
        "format": "int8",
    }
    said = sentences(made)
    assert said[0].startswith("--as-published issre sets --format int8 --fault-model flip")
    assert "and no --weight-format" in said[0]
    assert "ISSRE 2021" in said[0]
    assert sorted(said[1:]) == [
        "--all-images is kept, as it was given; published: without it",
        "--injections 64 is kept, as it was given; published: 12288",
        "--limit clamp is kept, as it was given; published: format",
    ]


def test_a_typed_protocol_replaces_the_file_and_the_environment_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TGR_INJECT_LIMIT", "zero")
    monkeypatch.setenv("TGR_INJECT_STRIKE", "element")  # as published
    file = {"sampling": "stratified", "format": "int8", "injections": 9}
    made = context(f"inject {TOY} --as-published neurips --injections 5", file)
    assert [made.params[name] for name in ("sampling", "format", "limit", "injections")] == [
        "uniform",
        None,
        "clamp",
        5,
    ]
    assert sentences(made)[1:] == [
        "--injections 5 is kept, as it was given; published: 4096",
        "--as-published neurips replaces --format, --sampling as set in tgr.toml",
        "--as-published neurips replaces --limit as set in the environment",
    ]


def test_a_protocol_of_the_file_gives_way_to_all_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TGR_INJECT_LIMIT", "zero")
    made = context(f"inject {TOY} --seed 3", {"as_published": "neurips", "sampling": "stratified"})
    assert [made.params[name] for name in ("sampling", "limit", "seed")] == ["stratified", "zero", 3]
    assert len(sentences(made)) == 3
    without = context(f"inject {TOY}")
    assert without.params["sampling"] == defaults.SAMPLING
    assert sentences(without) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"inject {TOY} --as-published nips", '--as-published is "nips"; use one of neurips, issre'),
        ("protect a --as-published neurips", 'whose paper says nothing of "tgr protect"; use issre'),
    ],
)
def test_a_protocol_that_there_is_not_is_refused(line: str, words: str) -> None:
    with pytest.raises(TgrError, match=words):
        context(line)


def test_every_command_with_the_option_has_a_protocol() -> None:
    having = {name for name in COMMANDS if "as_published" in {p.name for p in built(name).params}}
    assert having == {command for paper in PROTOCOLS.values() for command in paper.options}


def test_a_campaign_records_what_the_protocol_set_and_an_error_names_it() -> None:
    write_toy_dataset(Path("toy"))
    drawn = f"inject {TOY} --as-published neurips --injections 2 --plan-only --out p.parquet"
    invoke(*drawn.split())
    config = store.describe(Path("p.parquet"))[1].config
    assert [config[name] for name in ("sampling", "limit", "injections")] == ["uniform", "clamp", 2]
    options = json.loads(store.run_record(Path("p.parquet")).read_text())["options"]
    assert options["sampling"] == {"value": "uniform", "from": "--as-published neurips"}
    assert options["as_published"] == {"value": "neurips", "from": "command line"}
    assert options["injections"] == {"value": 2, "from": "command line"}
    words = "float16 has none; use clamp; --limit is set by --as-published issre"
    with pytest.raises(TgrError, match=words):
        invoke(*f"inject {TOY} --as-published issre --format float16".split())
    with pytest.raises(TgrError, match="--as-published does nothing beside --replay"):
        invoke(*f"inject {TOY} --as-published neurips --replay 1".split())


def test_the_api_takes_the_protocol_as_its_arguments() -> None:
    run = api.inject(toy_net(), toy_tensors(), progress=False, **api.as_published("neurips") | {"injections": 2})
    assert run.injections.facts["config"]["sampling"] == "uniform"
    assert len(run.injections) == 2 * len(run.sites)
    assert api.as_published("issre", "profile_ranges")["format"] == "int8"
    with pytest.raises(TgrError, match="says nothing"):
        api.as_published("neurips", "protect")
