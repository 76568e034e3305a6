"""The indefinite article."""

import pytest
from any_characters import CHARACTERS
from hypothesis import given, settings
from hypothesis import strategies as st

from tgr_cli.text.articles import article, with_article

A = """dog, unicorn, unicycle, uniform, union, university, European green lizard, eucalyptus, ewe, ukulele, utensil,
urinal, user, one-way street, one, once-used ticket, onesie, hamster, horse, T-shirt, CD player, UFO, USB stick, BMW, 7,
11000, 180, sandal, bus, hippopotamus, glass, praying mantis, canvas, rhinoceros, triceratops, St. Bernard,
hen of the woods mushroom"""
AN = """apple, airplane, ankle boot, hour, hourglass, honest face, heirloom, X-ray, SUV, MRI scan, LED lamp, iPod,
umbrella, uncle, unimportant thing, uninhabited island, usher, utter mess, onion, 8, 11, 18, 80 km/h sign, octopus,
electric ray, oboe, abacus, albatross, iris, end of roads sign"""
NONE = """binoculars, jeans, parallel bars, mashed potatoes, french fries, tacos, pajamas, scallops, fish and chips,
swim trunks / shorts, a dog, an ox, the sea"""
CASES = [
    (name.strip(), article) for names, article in ((A, "a "), (AN, "an "), (NONE, "")) for name in names.split(",")
]


@pytest.mark.parametrize(("name", "expected"), CASES)
def test_article(name: str, expected: str) -> None:
    assert article(name) == expected


@settings(deadline=None)
@given(st.text(CHARACTERS, max_size=40))
def test_any_name_stays_whole_behind_one_article(name: str) -> None:
    assert article(name) in ("a ", "an ", "")
    assert with_article(name) == article(name) + name
    assert with_article(with_article(name)) == with_article(name)
