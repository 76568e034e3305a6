"""The report as one self-contained HTML file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tgr_cli import __version__
from tgr_cli.errors import printable
from tgr_cli.report import plotting
from tgr_cli.report.figure import Panel, Plot, Section
from tgr_cli.report.theme import DARK, LIGHT

TEMPLATE = "template.html.j2"
NAME_LENGTH = 120  # characters of a PNG's file name: the limit is 255 bytes, including a temporary suffix


@dataclass(frozen=True)
class Page:
    """The page: a title, a subtitle, and sections."""

    title: str
    opening: str
    sections: Sequence[Section]

    def figures(self) -> Iterator[Plot]:
        """Yield the figures of all sections."""
        for section in self.sections:
            yield from section.figures

    def panels(self) -> Iterator[tuple[str, Panel]]:
        """Yield every panel with a unique name that is safe as a file name."""
        taken: dict[str, int] = {}
        for figure in self.figures():
            for panel in figure.panels:
                name = panel.key[:NAME_LENGTH]
                taken[name] = taken.get(name, 0) + 1
                yield (name if taken[name] == 1 else f"{name}-{taken[name]}"), panel


def html(page: Page) -> str:
    """Return the page as HTML: no scripts, nothing loaded, deterministic."""
    number = count()
    return rendered(
        TEMPLATE,
        page=page,
        svg=lambda panel, figure: Markup(
            plotting.svg(panel, f"p{next(number)}", f"{figure.title}. {panel.title}".strip())
        ),
    )


def rendered(template: str, **values: Any) -> str:
    """Return a template with these values, the two themes and the version; deterministic."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    themes = {"light": Markup(LIGHT.variables()), "dark": Markup(DARK.variables())}
    made = environment.get_template(template).render(**values, **themes, version=__version__)
    return printable(made)  # names may contain control characters or text-direction overrides
