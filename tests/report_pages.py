"""What tests of the report read a page with."""

import base64
import csv
import html.parser
import io

import pytest

from tgr_cli.report import plotting
from tgr_cli.report.figure import Panel
from tgr_cli.reporting import Reporter


def draw_only(patch: pytest.MonkeyPatch, *keys: str, files: bool = False) -> None:
    """Leave out a page's plots but those whose keys begin so, if any: drawing takes most of the time of a report.

    With `files` the same plots alone are drawn as files too, with few pixels; the other files are empty.
    """
    svg, png = plotting.svg, plotting.png

    def wanted(panel: Panel) -> bool:
        return panel.key.startswith(keys)

    def drawn(panel: Panel, prefix: str, label: str) -> str:
        return svg(panel, prefix, label) if wanted(panel) else f"<svg>{panel.key}</svg>"

    patch.setattr(plotting, "svg", drawn)
    if files:
        patch.setattr(plotting, "PNG_DPI", 24)
        patch.setattr(plotting, "png", lambda panel: png(panel) if wanted(panel) else b"")


class Page(html.parser.HTMLParser):
    """The content of a page: text, ids, attributes that refer to ids, and its CSV files by name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.named: list[str] = []
        self.csv: dict[str, list[dict[str, str]]] = {}
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.named += [value for name, value in attrs if name in ("src", "href", "xlink:href", "action", "srcset")]
        if "download" in given:
            content = base64.b64decode(given["href"].split("base64,")[1]).decode()
            self.csv[given["download"]] = list(csv.DictReader(io.StringIO(content)))

    def handle_data(self, data: str) -> None:
        self.text += data


class Notes(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)
