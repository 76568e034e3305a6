"""The indefinite article: "an apple", "a unicorn", "jeans". Exceptions go into a prompt file's `phrases`."""

import re

ARTICLES = ("a ", "an ", "the ")
# Vowel letters with a consonant sound ("you", "won"): European, ewe, unicorn, ukulele, utensil, one-piece.
CONSONANT_SOUND = re.compile(r"eu|ewe|ouija|uni(?![mn])|u[bfkrst][aeiou]|u\b|on(?:ce|e)(?![a-rt-z])", re.IGNORECASE)
SILENT_H = re.compile(r"hour|hono|honest|heir", re.IGNORECASE)
# Numbers that start with a vowel sound: eight, eleven, eighteen, eighty.
VOWEL_NUMBER = re.compile(r"8|1[18](?!\d)")
# Letters whose names start with a vowel sound, as in "an X-ray" or "an SUV".
VOWEL_LETTERS = frozenset("AEFHILMNORSX")
# Singular endings in s: glass, bus, iris, gas, canvas, rhinoceros, triceratops, lens, series, species.
SINGULAR_S = ("ss", "us", "is", "gas", "canvas", "atlas", "ceros", "ceratops", "lens", "series", "species")


def article(name: str) -> str:
    """Return the article before `name`: "a ", "an ", or "" if it is plural or already has an article.

    A spelling rule with the common exceptions; mass nouns ("corn") are treated as countable.
    """
    if name.lower().startswith(ARTICLES) or _plural(name):
        return ""
    return "an " if _vowel_sound(name) else "a "


def with_article(name: str) -> str:
    """Return `name` with its indefinite article: "an hourglass", "a T-shirt", "binoculars"."""
    return article(name) + name


def _vowel_sound(name: str) -> bool:
    word = re.sub(r"^\W+", "", name)
    spelt = re.match(r"[A-Z]{1,3}(?![A-Za-z])", word)
    if spelt:
        return spelt[0][0] in VOWEL_LETTERS
    if word[:1].isdigit():
        return bool(VOWEL_NUMBER.match(word))
    if CONSONANT_SOUND.match(word):
        return False
    return word[:1].lower() in tuple("aeiou") or bool(SILENT_H.match(word))


def _plural(name: str) -> bool:
    """Whether the head noun of `name` looks plural: "parallel bars", but not "a hen of the woods"."""
    head = re.split(r" (?:of|with|in|on|to|for|at) |[(,/]", name.lower())[0].strip()
    return len(head) > 2 and head.endswith("s") and not head.endswith(SINGULAR_S)
