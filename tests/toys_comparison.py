"""Two runs to compare, a few faults each, and what is said when they are."""

from pathlib import Path

from toys_artifacts import site, write_golden, write_injections

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import COMPARISON
from tgr_cli.reporting import Reporter
from tgr_cli.steps.compare import Config, run

FOLDER = Path("runs/digits")
BASELINE, TEXT = FOLDER / "net-baseline", FOLDER / "net-text-descriptions"
CONFIG = Config(baseline="net-baseline", candidates=["net-text-descriptions"], dataset="digits")
CONV, FC = site("conv", "conv", neurons=400, macs=1000), site("fc", macs=50)
B_CONV, B_FC = site("backbone.conv", "conv", neurons=400, macs=1000), site("backbone.fc", neurons=90, macs=300)
HEAD = site("head", neurons=10, macs=100)


class Notes(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def baseline(*, limit: str = "clamp", model: str = "base", top2diff=None, **facts: object) -> None:
    """Correct on a, b, c. Mean dLoss: conv 4 (common images b, c: 3), fc 10 (common: 12); SDCs: 1 and 2 of 3."""
    images = top2diff or {"a": 0.5, "b": 0.6, "c": 0.1, "d": 0.2}
    write_golden(BASELINE / "golden.parquet", images, "d", run=BASELINE.name, model="base", **facts)
    struck = [(CONV, "sbb", "abc", [6, 4, 2]), (FC, "sbs", "abc", [6, 10, 14])]
    write_injections(BASELINE / "injections.parquet", struck, model=model, limit=limit, extra={"last_sites": ["fc"]})


def text(*, limit: str = "clamp", head: str = "bsn", struck=None, label: str = "true") -> None:
    """Correct on b, c, d. Mean dLoss: backbone.conv 2 (common: 2), backbone.fc 1 (1), head 5 (5); one is non-finite."""
    images = {"a": 0.1, "b": 0.8, "c": 0.7, "d": 0.3}
    write_golden(TEXT / "golden.parquet", images, "a", run=TEXT.name, model="text")
    struck = struck or [
        (B_CONV, "bbb", "bcd", [1, 3, 2]),
        (B_FC, "bbb", "bcd", [0.5, 1.5, 1]),
        (HEAD, head, "bdc", [5, 5, None]),
    ]
    extra = {"last_sites": ["head", "backbone.fc"]}
    write_injections(TEXT / "injections.parquet", struck, model="text", limit=limit, label=label, extra=extra)


def compared(config: Config = CONFIG) -> tuple[dict, dict, list[str]]:
    notes = Notes()
    result = run(config, notes)
    assert store.read(result.path, COMPARISON).table.to_pylist() == result.rows
    own, common = result.rows
    assert (own["images"], common["images"]) == ("own", "common")
    return own, common, notes.said


def measured(folder: Path, model: str, size: float, *, images_differ: bool = False) -> None:
    """A run with one site and 40 images with two faults each: dLoss 0.5 and 1.5 times `size`, every fault an SDC."""
    names = [f"{number:02d}" for number in range(40)]
    write_golden(folder / "golden.parquet", dict.fromkeys(names, 0.5), run=folder.name, model=model)
    struck = names + (names if images_differ else names[::-1])
    dloss = [0.5 * size, 1.5 * size] * 40
    write_injections(folder / "injections.parquet", [(FC, "s" * 80, struck, dloss)], model=model)
