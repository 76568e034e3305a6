"""Run folders made by hand: golden, injections and vulnerability as the commands would write them; toy campaigns."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from toys import write_toy_dataset
from typer.testing import CliRunner

from tgr_cli.app import app
from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import vulnerability_beside
from tgr_cli.artifacts.provenance import sha256_file, sha256_names
from tgr_cli.artifacts.schemas import GOLDEN, INJECTIONS, VULNERABILITY
from tgr_cli.metrics.summary import FaultColumns, vulnerability_row

CLASSES = sha256_names(["dot", "bar", "ring"])
OUTCOMES = {"n": "non_finite", "s": "sdc", "m": "masked", "b": "benign"}


def write_golden(
    path: Path,
    top2diff: Mapping[str, float],
    wrong: str = "",
    *,
    run: str,
    model: str,
    classes: str = CLASSES,
    label: int = 0,
    preprocessing: Mapping[str, object] | None = None,
    extra: Mapping[str, object] | None = None,
) -> Path:
    """Write `golden` for images named by letters: their Top2Diff; those in `wrong` are classified wrongly."""
    ids, values = list(top2diff), np.array(list(top2diff.values()))
    columns = {
        "image_id": ids,
        "label": [label] * len(ids),
        "prediction": [label + int(name in wrong) for name in ids],
        "loss": [0.5] * len(ids),
        "top1": (1 + values) / 2,
        "top2": (1 - values) / 2,
        "top2diff": values,
        "rank_of_label": [int(name in wrong) for name in ids],
    }
    facts = {"model": model, "classes": classes, "extra": {"run": run, "params": 1000 + len(run)}}
    facts["extra"] |= {"preprocessing": preprocessing} if preprocessing else {}
    facts["extra"] |= dict(extra or {})
    return store.write(path, GOLDEN, columns, store.provenance_for(GOLDEN, **facts))


def stored_in(name: str, width: int = 8, **fields: list[int]) -> dict[str, Any]:
    """Return the facts of a model whose layers' outputs are rounded to a format, and struck as its words."""
    form = {"name": name, "width": width, "fields": fields or {"sign": [width - 1] * 2, "value": [0, width - 2]}}
    return {"format": name, "number_format": form, "rounded": "conv,linear", "calibration": {}, "struck_format": form}


def formats_of(path: Path) -> Any:
    """Return the number format that an artifact records of its model, or of each of its models by name."""
    schema, provenance, _ = store.describe(path)
    assert schema.formats, f"{schema.kind} has no model"
    return provenance.extra[schema.formats]


def write_injections(
    path: Path,
    sites: Sequence[tuple[dict, str, str, Sequence[float | None]]],
    *,
    model: str,
    limit: str = "clamp",
    label: str = "true",
    target: str = "neuron",
    sampling: str = "uniform",
    bits: Sequence[int] | None = None,
    top2diff: Sequence[float | None] | None = None,
    golden_top2diff: Sequence[float] | None = None,
    top1: Sequence[float | None] | None = None,
    weights: Sequence[float] | None = None,
    faulty_label: Sequence[int | None] | None = None,
    value_before: Sequence[float] | None = None,
    config: Mapping[str, object] | None = None,
    extra: Mapping[str, object] | None = None,
) -> Path:
    """Write `injections`, and `vulnerability` beside it: a site's facts, outcomes by letter, images, dLoss a fault."""
    columns: dict[str, list] = {name: [] for name in INJECTIONS.arrow.names}
    for facts, outcomes, images, dloss in sites:
        for number, (letter, image, value) in enumerate(zip(outcomes, images, dloss, strict=True)):
            gone = letter == "n"
            row = dict.fromkeys(INJECTIONS.arrow.names, 0) | {
                "fault": number,
                "site": facts["site"],
                "index": [number],
                "image_id": image,
                "weight": 1.0,
                "image_weight": 1.0,
                "faulty_label": None if gone else int(letter == "s"),
                "faulty_loss": None if gone else value,
                "dloss": value,
                "faulty_top1": None if gone else 0.5,
                "golden_top1": 0.5,
                "faulty_top2diff": None if gone else 0.5,
                "golden_top2diff": 0.5,
                "outcome": OUTCOMES[letter],
            }
            for name, cell in row.items():
                columns[name].append(cell)
    if bits is not None:
        columns["bit"] = list(bits)
    if top2diff is not None:
        columns["faulty_top2diff"] = list(top2diff)
    if top1 is not None:
        columns["faulty_top1"] = list(top1)
    if weights is not None:
        columns["weight"] = list(weights)
    if value_before is not None:
        columns["value_before"] = list(value_before)
    if faulty_label is not None:
        columns["faulty_label"] = list(faulty_label)
    if golden_top2diff is not None:
        columns["golden_top2diff"] = list(golden_top2diff)
    facts = {
        "model": model,
        "classes": CLASSES,
        "config": {"limit": limit, "label": label, "sampling": sampling, "target": target, "confidence": 0.99}
        | dict(config or {}),
        "extra": {
            "macs": sum(facts["macs"] for facts, *_ in sites),
            "last_sites": [sites[-1][0]["site"]],
            "sites": [facts for facts, *_ in sites],
            "ranges": {"dataset": "toys", "used": "train", "images": 60, "pool": "0" * 64},
            "format": "float32",
        }
        | dict(extra or {}),
    }
    store.write(path, INJECTIONS, columns, store.provenance_for(INJECTIONS, **facts))
    faults = FaultColumns.read(store.read(path, INJECTIONS).table)
    rows = [vulnerability_row(site, faults.at(site["site"])) for site, *_ in sites]
    facts["inputs"] = {"injections": sha256_file(path)}
    table = pa.Table.from_pylist(rows, schema=VULNERABILITY.arrow)
    store.write(vulnerability_beside(path), VULNERABILITY, table, store.provenance_for(VULNERABILITY, **facts))
    return path


def site(name: str, op: str = "linear", *, neurons: int = 10, macs: int = 100, per_image: bool = True) -> dict:
    return {"site": name, "op": op, "per_image": per_image, "neurons": neurons, "macs": macs}


def invoke(*arguments: object) -> Any:
    """Run a command in this process, which spares the seconds that importing torch takes; a TgrError goes through."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def toy_options(folder: Path) -> list[str]:
    """Write the toys into `folder`; return the options of a campaign on them, except for the model."""
    write_toy_dataset(folder)
    grey = ["--crop", "8", "--mean", "0.5", "--std", "0.5"]
    return ["--dataset", f"parquet:{folder}", "--weights", "none", "--label", "golden", "--batch-size", "8", *grey]


def inject(images: Sequence[str], *more: object, model: str = "toys:build_toy") -> dict[str, Any]:
    """Run a campaign; return what the command prints with --json."""
    return json.loads(invoke("inject", "--model", model, *images, "--quiet", "--json", *more).stdout)
