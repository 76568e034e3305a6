"""What the fuzzer tries at a time."""

import shlex
from dataclasses import dataclass, field

from llm_server import Said


@dataclass(frozen=True)
class Input:
    """One thing to try: what lies in the folder, a command line, variables of the environment.

    `files`: content by path, None where the file is not there; `places`: what stands there instead of a file, by path.
    `answers`: what a language model's server says, in turn; its address stands for {server} in the arguments.
    `may_change`: beginnings of the paths that the command is free to write.
    """

    name: str
    arguments: tuple[str, ...]
    files: dict[str, bytes | None] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    answers: tuple[str | Said | bytes, ...] = ("well",)
    may_change: tuple[str, ...] = ("new",)

    def __str__(self) -> str:
        return f"{self.name}: {self.variables or ''} tgr {shlex.join(self.arguments)!a}"
