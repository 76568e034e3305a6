"""What the name of a run says of its model: the inverse of `layout.Workspace.run`."""

import re
from dataclasses import dataclass

from tgr_cli.artifacts.layout import INITS, slug

SEED, APART = re.compile(r"s\d+"), re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True)
class RunName:
    """The parts of a run's name after the model; `variant` is None for a model that was trained as it is."""

    head: str
    init: str | None
    variant: str | None


def parts_of(run: str, model: str) -> RunName | None:
    """Return the parts of the name of a run of `model`; None if it was named otherwise.

    >>> parts_of("resnet50-text-descriptions-s3-dropout", "resnet50")
    RunName(head='text', init='descriptions', variant='dropout')
    """
    if not run.startswith(f"{slug(model)}-"):
        return None
    head, *rest = run.removeprefix(f"{slug(model)}-").split("-")
    init = rest.pop(0) if rest and rest[0] in INITS else None
    if rest and SEED.fullmatch(rest[0]):
        del rest[0]
    if rest and APART.fullmatch(rest[-1]):  # other weights, in a folder beside the run's own
        del rest[-1]
    return RunName(head, init, "-".join(rest) or None)
