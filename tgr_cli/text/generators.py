"""Sources of descriptions; all implement `Generator`."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.text.prompts import PromptSet


@dataclass(frozen=True, order=True, kw_only=True)
class Description:
    """One text about one class, "" unless `status` is "ok"; ordered by class, question number and sample."""

    class_index: int
    number: int
    sample: int = 0
    class_name: str
    question: str
    text: str
    status: str = "ok"
    source: str


CODE = re.compile(r"(?:an? )?(?:n?[0-9]+)")  # a number, or a WordNet id as in ImageNet's folder names
OF_NUMBERS = ("mnist", "digits")  # data sets whose classes are numbers


class Generator(ABC):
    """A source of descriptions for classes, made with a prompt set."""

    name: ClassVar[str]

    def __init__(self, prompts: PromptSet) -> None:
        self.prompts = prompts

    @abstractmethod
    def describe(self, classes: Sequence[str], reporter: Reporter = SILENT) -> Iterator[Description]:
        """Yield every class's descriptions as they become available, in any order."""


@final
class Stored(Generator):
    """The descriptions stored in the prompt file; every class must have some (`PromptSet.missing`)."""

    name = "stored"

    def describe(self, classes: Sequence[str], reporter: Reporter = SILENT) -> Iterator[Description]:
        for index, (name, stored) in enumerate(zip(classes, self.prompts.described(classes), strict=True)):
            assert stored is not None
            for number, text in enumerate(self.prompts.descriptions[stored]):
                asked = self.prompts.questions[number] if self.prompts.questions else ""
                yield Description(
                    class_index=index,
                    number=number,
                    class_name=name,
                    question=self.prompts.render(asked, index, stored),
                    text=text,
                    source=self.name,
                )


@final
class Template(Generator):
    """The prompt file's templates filled with the class name: "a photo of a dog"."""

    name = "template"

    def describe(self, classes: Sequence[str], reporter: Reporter = SILENT) -> Iterator[Description]:
        if self.prompts.name not in OF_NUMBERS and all(
            CODE.fullmatch(self.prompts.phrase(index, name)) for index, name in enumerate(classes)
        ):
            reporter.note(
                f'the classes are called by codes ("{classes[0]}", …), and texts made of those say nothing of them; '
                "--class-names FILE gives their names"
            )
        for index, name in enumerate(classes):
            for number, template in enumerate(self.prompts.templates):
                yield Description(
                    class_index=index,
                    number=number,
                    class_name=name,
                    question=template,
                    text=self.prompts.render(template, index, name),
                    source=self.name,
                )
