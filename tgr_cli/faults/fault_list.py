"""Reads explicit faults from a file instead of sampling them: an `injections` artifact, or CSV."""

import csv
import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tgr_cli import defaults, documents
from tgr_cli.artifacts import facts, store
from tgr_cli.artifacts.fault_facts import scaled_format_of
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.errors import TgrError, did_you_mean, found_at
from tgr_cli.faults.fault_models import Choices, FaultModel, Flip
from tgr_cli.faults.patterns import Element, Pattern
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sites import Site

COLUMNS = ("site", "index", "bit", "image_id")  # or "choice" in place of "bit"


def read(
    path: Path,
    model: FaultModel,
    pattern: Pattern,
    *,
    form: str = "",
    scaled: str = "",
    strike: str = defaults.STRIKE,
    lasting: bool = False,
) -> list[dict[str, Any]]:
    """Return the faults of a file in its order, each with `site`, `index` (list of int), `bit` or `choice`, `image_id`.

    A `.csv` file needs these columns, with `index` written as `3 1 2`; any other file must be an `injections` artifact
    of faults of `model` and `pattern` that `strike` the same kind of word, in the format `form` if one is given and
    recorded, and last if `lasting`. Words of scales must be those of values in the format `scaled`, if one is given. A
    `choice` numbers what the model does; without it a bit flips. A `footprint` numbers which elements of the pattern
    are struck; without it the first.
    """
    if not path.is_file():
        raise TgrError(f"{path} {found_at(path)}; name a CSV file of faults or an injections artifact with --faults")
    if path.suffix != ".csv":
        return _of_artifact(path, model, pattern, form, scaled, strike, lasting)
    try:
        content = documents.text(documents.read_bytes(path))
        rows = list(csv.DictReader(io.StringIO(content, newline=""), strict=True))
    except documents.MalformedError as error:
        raise TgrError(f"{path} {error}; save it as a CSV file in UTF-8") from error
    except csv.Error as error:
        raise TgrError(f"{path} is not a CSV file ({error}); its first line must be {','.join(COLUMNS)}") from error
    if not rows:
        raise TgrError(f"{path} holds no fault; write one a line below {','.join(COLUMNS)}")
    if missing := [name for name in COLUMNS if name not in rows[0] and not (name == "bit" and "choice" in rows[0])]:
        raise TgrError(f"{path} lacks the column {missing[0]}; its first line must be {','.join(COLUMNS)}")
    return [_parsed(row, f"{path}, line {line}") for line, row in enumerate(rows, start=2)]


def _of_artifact(
    path: Path, model: FaultModel, pattern: Pattern, form: str, scaled: str, strike: str, lasting: bool
) -> list[dict[str, Any]]:
    artifact = store.read(path, INJECTIONS, columns=COLUMNS)
    if (theirs := artifact.provenance.config.get("fault_model", Flip().name)) != model.name:
        raise TgrError(f"{path} holds faults of the model {theirs}; give it as --fault-model, not {model.name}")
    if (theirs := artifact.provenance.config.get("pattern", Element().name)) != pattern.name:
        raise TgrError(f"{path} holds faults of the pattern {theirs}, not {pattern.name}; give that with --pattern")
    if (theirs := artifact.provenance.config.get("strike", defaults.STRIKE)) != strike:
        raise TgrError(f"{path} holds faults that strike a {theirs}, not a {strike}; give that with --strike")
    if facts.lasting(artifact.provenance.config) != lasting:
        target = artifact.provenance.config.get("target", defaults.TARGET)
        wanted = "--lasting" if target == defaults.TARGET else f"--target {target}"
        last = "last, each tried on several images" if not lasting else "strike one inference each"
        raise TgrError(
            f"{path} holds faults that {last}; {'leave --lasting and --target out' if lasting else f'give {wanted}'}"
        )
    theirs = (artifact.provenance.extra.get("struck_format") or {}).get("name", form)
    if form and theirs != form:
        raise TgrError(
            f"{path} holds faults in words of {theirs}, and here they are words of {form}, whose bits mean something "
            "else; give the same --format, --weight-format or --encode, or write the faults as CSV"
        )
    needed = [name for name, usual in (("choice", Flip()), ("footprint", Element())) if usual not in (model, pattern)]
    if (of_values := scaled_format_of(artifact.provenance)) and scaled and of_values != scaled:
        raise TgrError(
            f"{path} holds faults in scales of {of_values}, and here they are scales of {scaled}, which go with other "
            "values; give the same --format, --weight-format or --encode, or write the faults as CSV"
        )
    return store.read(path, INJECTIONS, columns=(*COLUMNS, *needed)).table.to_pylist()


def _parsed(row: dict[str, str], where: str) -> dict[str, Any]:
    text, name = (row["index"] or "").strip(), "choice" if row.get("choice") else "bit"
    try:
        index = documents.parse_json(text) if text.startswith("[") else [int(part) for part in text.split()]
        number = int(row[name])
        footprint = int(row.get("footprint") or 0)
        if not isinstance(index, list) or not all(type(part) is int for part in index):
            raise ValueError
    except (ValueError, TypeError) as error:
        raise TgrError(
            f'{where}: index "{text}" and {name} "{row[name]}" must be whole numbers, as "3 1 2" and 30, '
            "and the footprint, if there is one, too"
        ) from error
    return {"site": row["site"], "index": index, name: number, "image_id": row["image_id"], "footprint": footprint}


def plan(
    faults: Sequence[dict[str, Any]],
    sites: Sequence[Site],
    image_ids: Sequence[str],
    *,
    choices: Choices,
    pattern: Pattern,
    lasting: bool = False,
) -> Plan:
    """Return the plan that runs exactly `faults`, in their order and numbered by position.

    If faults are `lasting`, consecutive entries with the same site, element, choice and footprint are one fault, tried
    on several images. Raises TgrError for the first fault whose site, index, choice, footprint or image does not exist.
    """
    position = {site.name: number for number, site in enumerate(sites)}
    image = {name: number for number, name in enumerate(image_ids)}
    site_F, image_F, element_F, choice_F, footprint_F = [], [], [], list[int](), list[int]()
    for number, fault in enumerate(faults):
        where = f"fault {number}"
        if fault["site"] not in position:
            raise TgrError(
                f'{where}: the model has no site "{fault["site"]}"; "tgr sites" lists them.'
                f"{did_you_mean(str(fault['site']), position)}"
            )
        shape, index = sites[position[fault["site"]]].shape, tuple(fault["index"])
        if len(index) != len(shape) or not all(0 <= i < n for i, n in zip(index, shape, strict=True)):
            raise TgrError(f"{where}: index {list(index)} lies outside the shape {list(shape)} of {fault['site']}")
        choice = _choice(fault, choices, where)
        footprint, known = int(fault.get("footprint") or 0), pattern.count(sites[position[fault["site"]]].op)
        if not 0 <= footprint < known:
            raise TgrError(f"{where}: footprint {footprint} lies outside 0 to {known - 1}, those of {pattern.name}")
        if fault["image_id"] not in image:
            raise TgrError(f'{where}: the data set has no image "{fault["image_id"]}"; check --dataset and --images')
        site_F.append(position[fault["site"]])
        image_F.append(image[fault["image_id"]])
        element_F.append(int(np.ravel_multi_index(index, shape)))
        choice_F.append(choice)
        footprint_F.append(footprint)
    struck = list(zip(site_F, element_F, choice_F, footprint_F, strict=True))
    return Plan(
        sites=tuple(sites),
        number_F=_numbers(struck, lasting),
        site_F=np.array(site_F, np.int64),
        image_F=np.array(image_F, np.int64),
        element_F=np.array(element_F, np.int64),
        choice_F=np.array(choice_F, np.int64),
        weight_F=np.ones(len(faults)),
        lasting=lasting,
        footprint_F=np.array(footprint_F, np.int64),
    )


def _choice(fault: dict[str, Any], choices: Choices, where: str) -> int:
    """Return what the fault does: its `choice` if it has one, else the flip of its `bit`."""
    name = "choice" if fault.get("choice") is not None else "bit"
    found = int(fault[name])
    if name == "bit" and choices.model != Flip():
        raise TgrError(
            f"{where} names the bit {found}, and the faults are {choices.model.name}; give its number in a column "
            "choice, or leave --fault-model out"
        )
    if not 0 <= found < choices.count:
        raise TgrError(f"{where}: {name} {found} lies outside 0 to {choices.count - 1}")
    return found


def _numbers(struck: Sequence[tuple[int, int, int, int]], lasting: bool) -> np.ndarray:
    again_F = [False] + [lasting and one == other for one, other in itertools.pairwise(struck)]
    return np.cumsum(~np.array(again_F)) - 1
