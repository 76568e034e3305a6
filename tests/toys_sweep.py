"""Runs of a few images to sweep thresholds over, one of them with faults."""

from pathlib import Path
from typing import Any

from toys_artifacts import site, write_golden, write_injections

FOLDER = Path("runs/digits")
FIRST = {"a": 0.05, "b": 0.12, "c": 0.90, "d": 0.02}
SECOND = {"a": 0.30, "b": 0.40, "c": 0.80, "d": 0.50}


def golden(name: str, top2diff: dict[str, float], wrong: str = "", model: str = "", **facts: str) -> Path:
    return write_golden(FOLDER / name / "golden.parquet", top2diff, wrong, run=name, model=model or name * 20, **facts)


def two_runs() -> None:
    golden("net-baseline", FIRST, wrong="d")  # accuracy 0.75
    golden("net-text", SECOND, wrong="cd")  # accuracy 0.5


CONV, FC = site("conv", "conv", neurons=300, macs=50), site("fc", neurons=100, macs=50)


def struck(**options: Any) -> Path:
    """Five faults at each of three sites; image d is misclassified. SDCs at conv: a, b; conv2: c; fc: a."""
    golden("net-text", SECOND, model="m", wrong="d")
    return write_injections(
        FOLDER / "net-text/injections.parquet",
        [
            (CONV, "ssbsn", "abcda", [1, 1, 1, 1, None]),
            (site("conv2", "conv", neurons=100, macs=150), "bbsbb", "abcda", [1] * 5),
            (FC, "sbbbb", "abcda", [1] * 5),
        ],
        model="m",
        top2diff=[0.10, 0.30, 0.0, 0.0, None, 0.0, 0.0, 0.60, 0.0, 0.0, 0.20, 0.0, 0.0, 0.0, 0.0],
        golden_top2diff=[0.30, 0.40, 0.80, 0.50, 0.30] * 3,
        top1=[0.45, 0.55, 0.9, 0.9, None, 0.9, 0.9, 0.75, 0.9, 0.9, 0.65, 0.9, 0.9, 0.9, 0.9],
        **options,
    )
