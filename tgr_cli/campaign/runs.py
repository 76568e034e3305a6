"""Opens measured runs, and checks that artifacts belong to one model and are comparable."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import RunFolder, deployed_name
from tgr_cli.artifacts.schemas import GOLDEN
from tgr_cli.artifacts.store import Artifact
from tgr_cli.errors import TgrError
from tgr_cli.models.card import ModelCard

EVALUATE = "tgr evaluate"


def read_golden(path: Path) -> tuple[str, Artifact]:
    """Return the name of the run, with the formats that its model is deployed in, and its `golden` artifact.

    Raises TgrError if it has no images, or the run's model has been retrained since.
    """
    golden = store.read(path, GOLDEN, EVALUATE)
    run = RunFolder(path.parent)
    if path.stem.split("-")[0] == run.golden.stem and run.card.exists():
        fingerprint = ModelCard.read(run.card).identity
        if golden.provenance.model != fingerprint:
            raise TgrError(
                f"{path} is of the model {_short(golden)}, but {run.card.name} beside it of {fingerprint[:12]}, "
                f'trained since; run "{EVALUATE}" and "tgr inject" again'
            )
    if golden.table.num_rows == 0:
        raise TgrError(f'{path} holds no image; run "{EVALUATE}" on some')
    name = str(golden.provenance.extra.get("run", path.parent.name))
    return deployed_name(name, *golden.provenance.deployed_in), golden


def correct(golden: Artifact) -> np.ndarray:
    """Return which images are classified correctly in the golden run, bool [N]."""
    return golden.column("prediction") == golden.column("label")


def refuse_other_model(golden: Artifact, other: Artifact) -> None:
    """Raise TgrError if an artifact is of another model, or of other images or preprocessing, than `golden`."""
    if golden.provenance.model != other.provenance.model:
        raise TgrError(
            f"{other.path} was made with the model {_short(other)}, {golden.path} with {_short(golden)}; make both "
            f'with one model: run "{EVALUATE}" and "tgr inject" again'
        )
    if differing := otherwise_deployed(other, golden.provenance.extra):
        raise TgrError(
            f'{other.path} was made of {differing} in {golden.path}; run "{EVALUATE}" and "tgr inject" with the same '
            "--format, --weight-format and --targets"
        )
    if differing := otherwise_prepared(other, golden.provenance.extra):
        raise TgrError(
            f"{other.path} was made on images prepared with {differing} for {golden.path}; run "
            f'"{EVALUATE}" and "tgr inject" with the same preprocessing'
        )
    if "image_id" in other.table.column_names:
        strangers = sorted(set(other.column("image_id")) - set(golden.column("image_id")))
        if strangers:
            raise TgrError(
                f"{other.path} has faults on {len(strangers)} images that {golden.path} does not hold, as "
                f'{strangers[0]}; run "{EVALUATE}" on all images of the campaign'
            )


def refuse_other_campaign(injections: Artifact, vulnerability: Artifact) -> None:
    """Raise TgrError if the figures of sites were not made from these rows of faults."""
    if vulnerability.provenance.inputs.get("injections") != injections.sha256:
        raise TgrError(f'{vulnerability.path} was not made from {injections.path}; run "tgr inject" again')


def refuse_other_images(first: Artifact, second: Artifact) -> None:
    """Raise TgrError if two `golden` artifacts differ in classes, images or labels."""
    if first.provenance.classes != second.provenance.classes:
        raise TgrError(
            f"{first.path} and {second.path} are of other classes (SHA-256 {str(first.provenance.classes)[:12]} and "
            f"{str(second.provenance.classes)[:12]}); compare models of one data set"
        )
    ours, theirs = (set(zip(g.column("image_id"), g.column("label"), strict=True)) for g in (first, second))
    if ours != theirs:
        raise TgrError(
            f"{first.path} holds {len(ours)} images, {second.path} {len(theirs)}, {len(ours & theirs)} of them the "
            f'same, labels included; run "{EVALUATE}" for both on the same images'
        )


def refuse_other_sites(injections: Artifact, vulnerability: Artifact) -> None:
    """Raise TgrError unless `vulnerability` has exactly the sites with faults in `injections`."""
    struck = set(injections.table["site"].unique().to_pylist())
    found = set(vulnerability.column("site").tolist())
    if struck != found:
        raise TgrError(
            f"{vulnerability.path} has rows of {len(found)} sites, {injections.path} faults at {len(struck)} "
            f'({min(struck ^ found)} is in only one of them); run "tgr inject" again'
        )


def otherwise_prepared(artifact: Artifact, facts: Mapping[str, Any]) -> str:
    """Return the differences in preprocessing between an artifact and `facts`, as "crop 8, but 16"; "" if none.

    `facts` are `Subject.facts`, which artifacts store.
    """
    theirs, ours = (f.get("preprocessing") or {} for f in (artifact.provenance.extra, facts))
    parts = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
    return ", ".join(f"{name} {theirs.get(name)}, but {ours.get(name)}" for name in parts)


def otherwise_deployed(artifact: Artifact, facts: Mapping[str, Any]) -> str:
    """Return the difference in number formats between an artifact and `facts`; "" if none.

    `facts` are `Subject.facts`, which artifacts store.
    """
    theirs, ours = (_deployed_in(each) for each in (artifact.provenance.extra, facts))
    return "" if theirs == ours else f"{theirs}, but {ours}"


def _deployed_in(facts: Mapping[str, Any]) -> str:
    """Return the number formats that a model is deployed in, as words."""
    outputs = f"outputs of {facts['rounded']} in {facts['format']}" if "rounded" in facts else ""
    stored = f"weights in {facts['weight_format']}" if "weight_format" in facts else ""
    return (
        "a model with " + " and ".join(filter(None, (outputs, stored))) if outputs or stored else "the model as it is"
    )


def _short(artifact: Artifact) -> str:
    return str(artifact.provenance.model)[:12]
