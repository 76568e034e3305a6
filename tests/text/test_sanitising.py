"""Sanitising text from other sources for terminals and artifacts."""

from unicodedata import category

import pytest
from any_characters import CHARACTERS
from hypothesis import given
from hypothesis import strategies as st

from tgr_cli.text.sanitising import Cleaned, clean


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("A plain sentence.", Cleaned(text="A plain sentence.")),
        (" two\n\n lines\tand\u2028more ", Cleaned(text="two lines and more")),
        ("\x1b[1;31mred\x1b[0m dog", Cleaned(text="red dog", removed=11)),
        ("\x1b]0;owned\x07dog", Cleaned(text="dog", removed=10)),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", Cleaned(text="link", removed=22)),
        ("\x9b31mdog\x9d2;t\x9c", Cleaned(text="dog", removed=9)),
        ("\x1bPq#0\x1b\\dog\x1b", Cleaned(text="dog", removed=8)),
        ("do\u202eg\u200b\x00\ud800", Cleaned(text="dog", removed=4)),
        ("naïve, 猫 and 🐶", Cleaned(text="naïve, 猫 and 🐶")),
    ],
)
def test_what_is_kept_and_counted(text: str, cleaned: Cleaned) -> None:
    assert clean(text) == cleaned


def test_long_texts_are_cut_between_words() -> None:
    assert clean("one two three", longest=9) == Cleaned(text="one two", cut=6)
    assert clean("onetwothree", longest=3) == Cleaned(text="one", cut=8)


def test_a_secret_is_struck_out_even_where_it_is_hidden() -> None:
    assert clean("it is sk-12\u200b345", "sk-12345") == Cleaned(text="it is [key]", removed=2)


@pytest.mark.parametrize("stand_in", ["x", "none", "ollama"])
def test_what_stands_in_for_a_key_spoils_no_words(stand_in: str) -> None:
    assert clean("a box, none of ollama's", stand_in) == Cleaned(text="a box, none of ollama's")


@pytest.mark.parametrize(
    ("first", "last"), [("\x90", "\x1b[m"), ("\x1bP", "\x07"), ("\x1b]", "\x1b\\"), ("\x1b[", "m"), ("\x9b", "m")]
)
def test_a_megabyte_of_commands_is_cleaned_in_one_pass(first: str, last: str) -> None:
    commands = first * 500_000 + last
    assert clean(f"{commands}dog") == Cleaned(text="dog", removed=len(commands))


@given(st.text(CHARACTERS))
def test_nothing_but_text_on_one_line_is_left(text: str) -> None:
    cleaned = clean(text)
    assert not {category(c) for c in cleaned.text} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert clean(cleaned.text).removed == 0
    cleaned.text.encode()
