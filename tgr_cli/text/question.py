"""A question to a language model about one class."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question about one class, for one sample; `prompt` is the text sent, `key` identifies its stored answers."""

    class_index: int
    number: int
    sample: int
    class_name: str
    question: str
    prompt: str
    key: str
