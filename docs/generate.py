"""Write docs/cli.md from the commands' help, docs/artifacts.md from the schemas, and the table in docs/formats.md.

With --check, only compare.

python docs/generate.py [--check]
"""

import html
import os
import subprocess
import sys
from pathlib import Path

from tgr_cli.artifacts.columns import Schema
from tgr_cli.artifacts.schemas import KINDS
from tgr_cli.commands.formats import shortened, specials
from tgr_cli.steps import formats as formats_step

DOCS = Path(__file__).resolve().parent
NOTE = "<!-- Made by docs/generate.py; change the code, then run it again. -->\n\n"
TABLE, END = "<!-- table: made by docs/generate.py -->", "<!-- end -->"


def command_line() -> str:
    """Return the reference of all commands, from Typer's documentation generator."""
    app = DOCS.parent / "tgr_cli" / "app.py"
    command = [sys.executable, "-m", "typer", str(app), "utils", "docs", "--name", "tgr"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TGR_")} | {"COLUMNS": "120"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return NOTE + html.unescape(done.stdout).rstrip() + "\n"


def artifacts() -> str:
    """Return the reference of all kinds of artifacts."""
    parts = [
        NOTE + "# Artifacts\n",
        "Every artifact is a Parquet file that pandas, Polars, DuckDB and Spark read as it is. What a file says of "
        "itself (kind, version, configuration, seed, library versions, fingerprints of the model and of every input) "
        "is JSON under the metadata key `tgr`; `tgr show FILE` prints it. How and where it was made, with the source "
        "of every option's value, is in the `.run.json` beside it.\n",
        "The key `tgr_sha256` holds the SHA-256 of that JSON and the columns' names, and every page of rows has a "
        "checksum: whoever reads the file with tgr is told of damage. An artifact by an earlier tgr, without that key, "
        "is read with a note. Rows that no artifact of the kind holds (a share above 1, a weight that is no number, "
        "a row that stands twice) are refused as damage is.\n",
        "`--out` replaces nothing but an artifact of the same kind, or an empty file: never an input of the command, "
        "a file that tgr did not write, a link, a pipe or a device. A damaged artifact is kept too, until it is "
        "removed.\n",
        "An artifact that rests on a model says which number format the model computes in, as `float32` or `bfloat16`: "
        "in the metadata under `extra`, `format` for one model, `formats` by the models' names for several. Artifacts "
        "of earlier versions may lack it; they are read as `float32`.\n",
        *(_section(schema) for schema in KINDS.values()),
    ]
    return "\n".join(parts)


def _section(schema: Schema) -> str:
    lines = [
        f"## {schema.kind}\n",
        f"Version {schema.version}, written by `{schema.command}`. Each row is {schema.row}."
        + (f" The metadata record `{schema.formats}`." if schema.formats else "")
        + "\n",
        "| column | type | unit | meaning | null |",
        "|---|---|---|---|---|",
        *(f"| `{c.name}` | {c.type} | {c.unit} | {c.meaning} | {c.null} |" for c in schema.columns),
    ]
    return "\n".join(lines).replace("| | |", "|  |  |") + "\n"


def formats() -> str:
    """Return docs/formats.md as it is, with the table of what the formats hold made anew."""
    before, rest = (DOCS / "formats.md").read_text(encoding="utf-8").split(TABLE)
    rows = [
        f"| `{each.form.name}` | {each.form.width} | "
        + " | ".join(map(shortened, (has.largest, has.smallest_normal, has.smallest, has.epsilon)))
        + f" | {specials(has)} | {each.form.what.replace('|', chr(92) + '|')} |"
        for each in formats_step.run()
        for has in (each.properties,)
    ]
    header = ("format", "bits", "largest", "normal from", "smallest", "epsilon", "specials", "what it is")
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|", *rows]
    return before + TABLE + "\n\n" + "\n".join(lines) + "\n\n" + END + rest.split(END)[1]


def main() -> int:
    stale = []
    for name, text in (("cli.md", command_line()), ("artifacts.md", artifacts()), ("formats.md", formats())):
        path = DOCS / name
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        print(f"docs: {', '.join(stale)} no longer match the code; run: python docs/generate.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
