"""Extracting the description from a language model's answer."""

from dataclasses import dataclass
from typing import Literal

from tgr_cli.text.declining import declines
from tgr_cli.text.markup import without_markup
from tgr_cli.text.phrases import without_phrases
from tgr_cli.text.sanitising import LONGEST, clean, plain_text
from tgr_cli.text.thoughts import without_thoughts
from tgr_cli.text.turns import one_turn

Status = Literal["ok", "empty", "thoughts", "refused", "unusable"]
# Wrappers nest, such as JSON in a code fence in a final channel. Text that still changes after this many rounds is
# adversarial.
MOST_ROUNDS = 12
LONGEST_READ = 10 * LONGEST  # characters after the reasoning; anything beyond cannot become part of a description


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """The description in an answer, on one line, and the numbers of characters removed.

    `text` is "" unless `status` is "ok". `trimmed` counts characters of reasoning, markup and phrases; `removed`
    non-text characters; `cut` characters beyond the maximum length.
    """

    status: Status
    text: str = ""
    trimmed: int = 0
    removed: int = 0
    cut: int = 0


def sentence(answer: str, secret: str = "") -> Sentence:
    """Return the description in `answer`, without reasoning, special tokens, markup, prefaces and `secret`.

    A plain sentence is unchanged, and the function is idempotent; both are tested.
    """
    plain = plain_text(answer)
    text, thoughtful, beyond = plain, False, 0
    for _ in range(MOST_ROUNDS):
        before = text
        text, thought = without_thoughts(text)
        thoughtful = thoughtful or thought
        if not text.strip():
            return Sentence(status="thoughts" if thoughtful else "empty")
        said = one_turn(text)
        beyond += max(0, len(said) - LONGEST_READ)
        unwrapped = without_markup(without_phrases(said[:LONGEST_READ]))
        if unwrapped is None:
            return Sentence(status="unusable")
        # Later rounds must see the final form: a single line without the control characters that JSON escapes may
        # contain.
        text = " ".join(plain_text(without_phrases(unwrapped)).split()) if unwrapped == before else unwrapped
        if declines(text):
            return Sentence(status="refused")
        if text == before:
            break
    else:
        return Sentence(status="unusable")
    if not any(c.isalpha() for c in text):
        return Sentence(status="unusable" if text.strip() else "empty")
    cleaned = clean(text, secret)
    line = " ".join(plain.split())
    return Sentence(
        status="ok",
        text=cleaned.text,
        trimmed=max(0, len(line) - len(" ".join(text.split())) - beyond),
        removed=len(answer) - len(plain) + cleaned.removed,
        cut=cleaned.cut + beyond,
    )
