"""The keyword arguments of the functions: the options of the commands, by the fields of their settings."""

from pathlib import Path
from typing import Any, TypedDict

from tgr_cli.published.protocols import options_of


def as_published(protocol: str, command: str = "inject") -> dict[str, Any]:
    """Return the options that set up a paper's experiment, "neurips" or "issre", for a function named as its command.

    `inject(model, data, **as_published("neurips") | {"injections": 64})` changes one of them. Raises TgrError if there
    is no such protocol, or if it has nothing for that command.
    """
    return dict(options_of(protocol, command.replace("_", "-")))


class SourceOptions(TypedDict, total=False):
    """Where a model and a data set that are given by name come from, and how pictures are prepared."""

    checkpoint: str | Path
    checkpoint_key: str
    weights: str
    head: str
    init: str
    train_seed: int
    variant: str
    data_root: str | Path
    download: bool
    train_data: str | Path
    eval_data: str | Path
    class_names: str | Path
    resize: int
    crop: int
    mean: str | tuple[float, ...]
    std: str | tuple[float, ...]
    interpolation: str
    crop_mode: str


class RunOptions(SourceOptions, total=False):
    """How a model is run."""

    images: int
    format: str
    weight_format: str
    targets: str
    batch_size: int
    workers: int
    device: str


class InjectOptions(RunOptions, total=False):
    """The options of `tgr inject`, but for those that run a part of a campaign or another kind of campaign."""

    ranges: str | Path
    limit: str
    fault_model: str
    pattern: str
    pattern_file: str | Path
    lasting: bool
    strike: str
    encode: str
    granularity: str
    injections: int
    sampling: str
    target_ci: str
    max_injections: int
    pilot: int
    all_images: bool
    label: str
    engine: str
    target: str
    images_per_fault: int
    confidence: float
    seed: int
    jobs: int
    memory: str
    faults: str | Path
    plan: str | Path
    restart: bool
    verify: int
    max_sdc_rate: float
    max_dloss: float
    fail_on_change: str | Path


class CompareOptions(TypedDict, total=False):
    """The options of `tgr compare`."""

    allow_different: tuple[str, ...]
    min_improvement: float
    gate_on: str


class ProtectOptions(TypedDict, total=False):
    """The options of `tgr protect`."""

    technique: tuple[str, ...]
    target_coverage: float
    order: tuple[str, ...]
    criterion: str
    rerun_cost: float
    count_by: str
    targets: str
    split: float
    folds: int
    seed: int
    confidence: float
    max_overhead: float
    min_coverage: float


class FitOptions(TypedDict, total=False):
    """The options of `tgr fit`."""

    per: str
    exposure: str
    non_finite: str
    rerun_below: float
    rerun_on: str
    lasting_count: str
    protected_by: str
    protection: str | Path
    confidence: float
    max_fit: float
    min_spfm: float
