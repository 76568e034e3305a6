"""Golden results that `tgr evaluate` has stored for a run, so that a campaign need not classify all images again."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tgr_cli.artifacts import store
from tgr_cli.artifacts.provenance import sha256_names
from tgr_cli.artifacts.schemas import GOLDEN
from tgr_cli.artifacts.store import Artifact
from tgr_cli.campaign import runs
from tgr_cli.campaign.subject import Subject
from tgr_cli.errors import TgrError
from tgr_cli.models import golden

IMAGES = "images_sha256"  # the fact of a `golden` artifact that holds `golden.digest` of its images
TRIED = 32  # images that are classified again, to see whether the model still gives the stored results
CLOSE = 1e-3  # in probability: batches of another size, or another machine, differ by much less


def of_pool(subject: Subject) -> Mapping[str, np.ndarray] | None:
    """Return `prediction` and `top2diff`, [N] each, that the run's `golden` artifact holds for the subject's pool.

    None if there is none, or if it is of another model, preprocessing, number format or other images, down to their
    pixels; no note tells of that, since a campaign on some --images of an evaluated data set is usual. `TRIED` images
    are classified again, since weights do not tell of a change in the model's code. If one of these differs from what
    is stored, a note says so, and None is returned.
    """
    path = subject.file(subject.loaded.run.golden)
    if len(subject.images) <= TRIED or not path.is_file():
        return None
    try:
        artifact = store.read(path, GOLDEN)
    except TgrError as error:
        subject.reporter.note(f"{error}; the images are classified again")
        return None
    if not _fits(artifact, subject):
        return None
    stored = {name: artifact.column(name) for name in ("prediction", "top2diff")}
    if differing := _differing(stored, subject):
        subject.reporter.note(
            f"{path} does not hold what the model gives for the image {differing}: its code or a library changed "
            f'since; all images are classified again, and "{runs.EVALUATE}" renews it'
        )
        return None
    subject.reporter.note(f"the images' golden results are those of {path}, by {runs.EVALUATE}")
    return stored


def _fits(artifact: Artifact, subject: Subject) -> bool:
    """Return whether the artifact is of this model on these images."""
    facts, images, settings = subject.facts, subject.images, subject.settings
    return (
        artifact.provenance.model == subject.loaded.fingerprint
        and artifact.provenance.classes == sha256_names(images.classes)
        and not runs.otherwise_deployed(artifact, facts)
        and not runs.otherwise_prepared(artifact, facts)
        and artifact.table["image_id"].to_pylist() == list(images.ids)
        and np.array_equal(artifact.column("label"), images.labels)
        and artifact.provenance.extra.get(IMAGES)
        == golden.digest(images, subject.loaded.preprocessing, batch_size=settings.batch_size, workers=settings.workers)
    )


def _differing(stored: Mapping[str, np.ndarray], subject: Subject) -> str:
    """Return the id of an image whose stored result is not that of the model; "" if none of those tried differs."""
    some = np.unique(np.linspace(0, len(subject.images) - 1, TRIED).round().astype(int))
    tried = replace(subject, images=subject.images.take(some.tolist()))
    found = golden.rows(tried.classify(), tried.images.ids)
    same = np.abs(np.asarray(found["top2diff"]) - stored["top2diff"][some]) <= CLOSE
    # two classes that are as probable may change places
    same &= (np.asarray(found["prediction"]) == stored["prediction"][some]) | (stored["top2diff"][some] <= CLOSE)
    return "" if same.all() else str(tried.images.ids[int(np.argmin(same))])
