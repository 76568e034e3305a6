"""`tgr show`: the content of an artifact."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tgr_cli import defaults
from tgr_cli.commands import options as o
from tgr_cli.commands.embed_output import (
    descriptions_json,
    embeddings_json,
    print_descriptions,
    print_embeddings,
    print_texts,
    texts_json,
)
from tgr_cli.commands.feature_maps_output import maps_json, print_maps
from tgr_cli.commands.options import Json
from tgr_cli.commands.session import session

# Per kind: the printed summary and its JSON form; other kinds print their first rows.
DIGESTS: dict[str, tuple[Callable[..., None], Callable[..., dict]]] = {
    "descriptions": (print_descriptions, descriptions_json),
    "embeddings": (print_embeddings, embeddings_json),
    "text_embeddings": (print_texts, texts_json),
    "feature_maps": (print_maps, maps_json),
}


def show(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="An artifact that tgr wrote.")],
    rows: Annotated[int, typer.Option(min=0, max=o.MANY, help="Show this many of its rows.")] = defaults.ROWS,
    json: Json = False,
) -> None:
    """Print an artifact's kind, columns, lineage, provenance, and its first rows or a summary."""
    from tgr_cli.steps import show as step

    with session(ctx) as console:
        shown = step.run(file, rows)
    columns = [
        {"name": c.name, "type": str(c.type), "unit": c.unit, "meaning": c.meaning} for c in shown.schema.columns
    ]
    printing, as_json = DIGESTS.get(shown.schema.kind, (None, None)) if shown.digest else (None, None)
    if json:
        console.json(
            {
                "file": shown.path,
                "kind": shown.schema.kind,
                "version": shown.schema.version,
                "rows": shown.rows,
                "columns": columns,
                "provenance": asdict(shown.provenance),
                "record": shown.record,
                "head": shown.head,
                "digest": as_json(shown.digest) if as_json else None,
            }
        )
        return
    console.line(f"{shown.path}: {shown.schema.kind}, version {shown.schema.version}, {shown.rows:,} rows")
    console.line(f"each row is {shown.schema.row}; written by {shown.schema.command}")
    if printing:
        printing(console, shown.digest)
    console.table("Columns", ("column", "type", "unit", "meaning"), [tuple(c.values()) for c in columns])
    facts = asdict(shown.provenance)
    lineage = {name: facts[name] for name in ("tgr", "seed", "model", "classes") if facts[name] is not None}
    lineage |= {f"input {role}": digest for role, digest in facts["inputs"].items()}
    lineage |= {f"config {name}": value for name, value in facts["config"].items()}
    lineage |= facts["extra"]
    console.table("Lineage", ("fact", "value"), [(name, str(value)) for name, value in lineage.items()])
    if shown.record:
        console.line(f"made by: {shown.record['command']}")
        console.line(f"on {shown.record['host']} at {shown.record['started']}, in {shown.record['seconds']} s")
        options = shown.record["options"].items()
        console.table("Options", ("option", "value", "from"), [(n, str(o["value"]), o["from"]) for n, o in options])
    if not printing:
        for row in shown.head:
            console.line(", ".join(f"{name}={value}" for name, value in row.items()))
