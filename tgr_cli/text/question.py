"""What a language model is asked about one class."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question about one class, asked for one sample; `prompt` is what is sent, `key` what its answer is under."""

    class_index: int
    number: int
    sample: int
    class_name: str
    question: str
    prompt: str
    key: str
