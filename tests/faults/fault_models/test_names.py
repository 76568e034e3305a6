"""Fault models as people write them: names with settings, and TOML files."""

from pathlib import Path

import pytest

from tgr_cli.errors import TgrError
from tgr_cli.faults.fault_models import fault_model_named

NAMES = ("flip", "flip:bit=0", "flip:field=sign", "flip:bits=3", "burst:length=2", "stuck:at=0", "random")


@pytest.mark.parametrize("name", [*NAMES, "random-value", "zero"])
def test_a_models_own_name_is_its_name_on_the_command_line(name: str) -> None:
    assert fault_model_named(name).name == name
    assert fault_model_named(fault_model_named(name).name) == fault_model_named(name)


def test_case_does_not_matter() -> None:
    for text, name in (
        ("FLIP", "flip"),
        ("Burst:Length=3", "burst:length=3"),
        ("Flip:Field=Exponent", "flip:field=exponent"),
    ):
        assert fault_model_named(text).name == name


def test_short_names_mean_the_same() -> None:
    assert fault_model_named("burst") == fault_model_named("burst:length=2")
    assert fault_model_named("flip:bits=1") == fault_model_named("flip")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("flop", r'--fault-model is "flop"; use one of flip, .* Did you mean "flip"\?'),
        ("", '--fault-model is ""; use one of flip'),
        ("flip:bit", "where bit has no value; write it as bit=0…63"),
        ("flip:bit=", r'where bit is ""; use a whole number from 0 to 63'),
        ("flip:bit=-1", "use a whole number from 0 to 63"),
        ("flip:bit=64", "use a whole number from 0 to 63"),
        ("flip:bit=²", "use a whole number from 0 to 63"),
        ("flip:bits=0", "use a whole number from 1 to 64"),
        ("flip:field=", r'where field is ""; give a word'),
        ("flip:bit=1,field=sign", "says twice what flips; give one of bit, bits, field"),
        ("burst:length=1", "use a whole number from 2 to 64"),
        ("burst:bits=2", 'with an option "bits"; burst takes length=2…64'),
        ("stuck", "stuck needs at; write it as stuck:at=1"),
        ("stuck:at=2", r'where at is "2"; use a whole number from 0 to 1'),
        ("zero:at=1", 'with an option "at"; zero takes no options'),
        ("flip:bit=1,bit=2", "with bit twice; give it once"),
        ("burst:length=2, length=2", "with length twice"),
        ("flip:bits=" + "9" * 5000, "use a whole number from 1 to 64"),
        ("nowhere.TOML", "nowhere.TOML does not exist"),
        ("nowhere.toml", "nowhere.toml does not exist; name a fault model"),
    ],
)
def test_what_is_no_fault_model_is_refused(text: str, words: str) -> None:
    with pytest.raises(TgrError, match=words):
        fault_model_named(text)


def test_a_file_mixes_models_by_weight(tmp_path: Path) -> None:
    file = tmp_path / "mixture.toml"
    file.write_text('[mixture]\nflip = 3\n"burst:length=2" = 1\n')
    found = fault_model_named(str(file))
    assert found.name == "mixture of 0.75 flip, 0.25 burst:length=2"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"holds no mixture of fault models; write a table \[mixture\]"),
        (b"[mixture]\n", "holds no mixture"),
        (b"mixture = 3\n", "holds no mixture"),
        (b"[mixture\n", "is not valid TOML"),
        (b"\xff\xfe\x00", "is UTF-16"),
        (b"[mixture]\nflip = 0\n", 'gives "flip" the weight 0; weights are numbers above 0'),
        (b"[mixture]\nflip = nan\n", "holds nan, which is no number"),
        (b"[mixture]\nflip = true\n", 'gives "flip" the weight True'),
        (b'[mixture]\nflip = "much"\n', 'gives "flip" the weight much'),
        (b"[mixture]\nflop = 1\n", 'is "flop"; use one of'),
        (b'[mixture]\n"other.toml" = 1\n', "names the file"),
        (b"[mixture]\nflop = 1\n", r"mixture\.toml: --fault-model"),
        (b"[mixture]\nflip = 1\n[pattern]\nrow = 1\n", 'sets "pattern" beside its mixture, which nothing reads'),
        (b"flop = 2\n[mixture]\nflip = 1\n", 'sets "flop" beside'),
        (b"[mixture]\nflip = 1" + b"0" * 400 + b"\nzero = 0.5\n", "holds a number of"),
        (b"[mixture]\nflip = 1" + b"0" * 5000 + b"\n", "is not valid TOML"),
        (b"[mixture]\nflip = " + b"[" * 100_000 + b"]" * 100_000, "nested more than"),
        (b"[mixture]\nflip = 1e308\nzero = 1e308\n", "weights that add up to inf"),
    ],
)
def test_a_file_that_is_no_mixture_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "mixture.toml"
    file.write_bytes(content)
    with pytest.raises(TgrError, match=words):
        fault_model_named(str(file))
