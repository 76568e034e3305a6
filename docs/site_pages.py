"""Pages of the site that are no files of docs/: the README, what pages link to, the API and the gallery.

mkdocs calls the functions `on_*` (mkdocs.yml, hooks). A page keeps its path in the repository, without docs/; the
README is the first page. PICTURES names a folder with the gallery's pictures, which .ci/site draws.
"""

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)\s]*)?\))")
LIST = re.compile(r"^([^\s|>#*+-][^\n]*)\n(?=(?:[-*+]|\d+\.) )", re.MULTILINE)
CODE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
REFERENCE = """# Reference of the Python API

The functions and objects of `tgr_cli.api`; [tgr in Python](api.md) shows them at work.

::: tgr_cli.api
"""


def on_files(files: Files, config: Any) -> Files:
    """Add the README and, step by step, what pages link to outside of docs/, and the pages that are made here."""
    files.append(_file(config, "README.md"))
    waiting = [file for file in files if file.is_documentation_page()]
    while waiting:
        page = waiting.pop()
        for _, link, _ in LINK.findall(page.content_string):
            path = _target(page.src_uri, link)
            if (ROOT / path).is_file() and files.get_file_from_path(_place(path)) is None:
                added = _file(config, path)
                files.append(added)
                waiting += [added] if added.is_documentation_page() else []
    files.append(File.generated(config, "reference.md", content=REFERENCE))
    files.append(File.generated(config, "gallery.md", content=_gallery(files, config)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return a page with its links as they lead in the site, and with lists apart from the lines before them."""

    def moved(found: re.Match[str]) -> str:
        path = _target(page.file.src_uri, found[2])
        if (ROOT / path).is_dir():  # a site has no page of a folder
            path = min(each.relative_to(ROOT).as_posix() for each in (ROOT / path).glob("*.md"))
        if not (ROOT / path).is_file():
            return found[0]
        folder = posixpath.dirname(page.file.src_uri)
        return f"{found[1]}{posixpath.relpath(_place(path), folder or '.')}{found[3]}"

    parts = CODE.split(markdown)
    # Markdown's first definition, which Python-Markdown follows, begins no list right after a line of text.
    return "".join(part if part.startswith("```") else LIST.sub(r"\1\n\n", LINK.sub(moved, part)) for part in parts)


def _file(config: Any, path: str) -> File:
    """Return a file of the repository at its place in the site."""
    return File.generated(config, _place(path), content=(ROOT / path).read_bytes())


def _place(path: str) -> str:
    """Return where a file of the repository lies in the site."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


def _target(page: str, link: str) -> str:
    """Return the path in the repository that a page of the site links to."""
    source = "README.md" if page == "index.md" else f"docs/{page}" if (ROOT / "docs" / page).exists() else page
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _gallery(files: Files, config: Any) -> str:
    """Return the page of pictures, and add them."""
    text = "# Gallery\n\nFrom the report of `tgr demo`:\n\n![Mean dLoss, site by site](report.png)\n"
    folder = os.environ.get("PICTURES")
    pictures = sorted(Path(folder).glob("*.png")) if folder else []
    if pictures:
        text += "\nDrawn when these pages were built, by `run.figure` ([Python](api.md)), from a campaign on digits:\n"
    for picture in pictures:
        files.append(File.generated(config, f"pictures/{picture.name}", content=picture.read_bytes()))
        text += f"\n![{picture.stem.replace('_', ' ')}](pictures/{picture.name})\n"
    return text
