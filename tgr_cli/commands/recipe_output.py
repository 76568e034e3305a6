"""Output of a resolved recipe."""

from dataclasses import asdict
from typing import Any

from tgr_cli.commands.console import Console


def print_recipe(console: Console, resolved: Any) -> None:
    """Print every field of a resolved recipe and the origin of its value."""
    values = asdict(resolved.recipe)
    if console.as_json:
        console.json({"recipe": resolved.name, "values": values, "from": resolved.origins})
        return
    for note in resolved.notes:
        console.note(note)
    rows = [(name.replace("_", "-"), _text(value), resolved.origins[name]) for name, value in values.items()]
    console.table(f"recipe {resolved.name}", ("field", "value", "from"), rows)


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
