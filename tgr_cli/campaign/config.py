"""The settings of a campaign."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tgr_cli import defaults
from tgr_cli.artifacts import facts
from tgr_cli.artifacts.layout import refuse_suffix
from tgr_cli.data.preprocessing import PreprocessingOptions
from tgr_cli.data.source import DataSource
from tgr_cli.errors import TgrError, one_of
from tgr_cli.faults import grammar, option_values
from tgr_cli.faults.sampling import SCHEMES
from tgr_cli.faults.sites import TARGETS
from tgr_cli.models.source import ModelSource

LABELS = ("true", "golden")
GATES = ("max_sdc_rate", "max_dloss", "fail_on_change")  # settings that judge a campaign
PRECISIONS = {"sdc": "SDC rate", "dloss": "mean dLoss"}


def rows_are(lasting: bool) -> str:
    """Return what to call the rows of a plan: a lasting fault has one row per image."""
    return "rows of faults" if lasting else "faults"


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of a campaign: sites, faults, images, engine and outputs.

    `pattern_file` replaces `pattern`. `lasting` asks for faults in neurons that last, as those in tensors do; whether
    faults last is `persists`. `faults` (a file of faults) and `plan` (a stored plan) replace sampling. `shard` is
    "i/n". A `batch_size` of 0 means as large as suits `memory`. `jobs` processes run the units, each with one thread; 0
    is for as many as there are cores, None for this process with torch's threads.
    """

    data: DataSource
    preprocessing: PreprocessingOptions
    source: ModelSource
    ranges: Path | None = None
    limit: str = defaults.LIMIT
    fault_model: str = defaults.FAULT_MODEL
    pattern: str = defaults.PATTERN
    pattern_file: Path | None = None
    lasting: bool = False
    strike: str = defaults.STRIKE
    format: str | None = None
    weight_format: str | None = None
    encode: str | None = None
    granularity: str = defaults.GRANULARITY
    injections: int = defaults.INJECTIONS
    sampling: str = defaults.SAMPLING
    target_ci: str | None = None
    max_injections: int = defaults.MAX_INJECTIONS
    pilot: int = defaults.PILOT
    images: int | None = None
    all_images: bool = False
    label: str = defaults.LABEL
    engine: str = defaults.ENGINE
    target: str = defaults.TARGET
    images_per_fault: int = defaults.IMAGES_PER_FAULT
    targets: str = defaults.TARGETS
    confidence: float = defaults.CONFIDENCE
    seed: int = defaults.SEED
    batch_size: int = defaults.CAMPAIGN_BATCH_SIZE
    workers: int = defaults.WORKERS
    device: str = defaults.DEVICE
    jobs: int | None = None
    memory: str = defaults.MEMORY
    faults: Path | None = None
    plan: Path | None = None
    plan_only: bool = False
    exhaustive: str | None = None
    surface: tuple[str, ...] = ()
    shard: str | None = None
    restart: bool = False
    verify: int = defaults.VERIFY
    max_sdc_rate: float | None = None
    max_dloss: float | None = None
    fail_on_change: str | None = None
    workdir: Path = defaults.WORKDIR
    out: Path | None = None

    def __post_init__(self) -> None:
        one_of("--limit", self.limit, option_values.MODES)
        one_of("--label", self.label, LABELS)
        one_of("--engine", self.engine, option_values.ENGINES)
        one_of("--sampling", self.sampling, SCHEMES)
        one_of("--target", self.target, TARGETS)
        one_of("--strike", self.strike, option_values.STRIKES)
        one_of("--granularity", self.granularity, option_values.GRANULARITIES)
        for name in ("injections", "max_injections", "pilot", "images_per_fault"):
            if getattr(self, name) < 1:
                raise TgrError(f"--{name.replace('_', '-')} is {getattr(self, name)}; use at least 1")
        if self.verify < 0:
            raise TgrError(f"--verify is {self.verify}; use 0 for none, or how many faults to run again")
        self._check_jobs()
        refuse_suffix(self.out)
        option_values.parsed(self.memory)
        facts.refuse_confidence(self.confidence)
        self._check_together()

    def _check_together(self) -> None:
        if self.target != "neuron" and self.engine == "pytorchfi":
            raise TgrError("the engine pytorchfi strikes neurons only; use --engine auto, replay or full")
        if self.target != "neuron" and self.ranges is not None:
            raise TgrError(
                f"--ranges limit neurons, and a {self.target} is limited to the range of its own values; "
                "leave --ranges out"
            )
        if not (self.format or self.encode):  # which may bound the values
            self.refuse_unlimited_dloss()
        if self.encode and (self.format or self.weight_format):
            raise TgrError(
                "--encode stores a struck value of a model that computes as it is, and --format or --weight-format "
                "deploys the whole model; leave one out"
            )
        draws = [n for n, v in (("--faults", self.faults), ("--plan", self.plan), ("--plan-only", self.plan_only)) if v]
        if len(draws) > 1:
            raise TgrError(f"{' and '.join(draws)} are given, and each says where the faults come from; leave one out")
        if self.plan_only and (self.shard or self.verify):
            raise TgrError("--plan-only draws the whole plan and runs nothing of it; leave out --shard and --verify")
        if self.exhaustive not in (None, "last"):
            raise TgrError(f'--exhaustive is "{self.exhaustive}"; only "last", the last site, can be struck everywhere')
        if self.exhaustive and self.target != "neuron":
            raise TgrError(
                f"--exhaustive strikes neurons, not a {self.target}; leave out one of --exhaustive, --target"
            )
        if self.exhaustive and (draws or self.shard or self.target_ci or self.verify):
            raise TgrError(
                "--exhaustive runs every fault of the last site; leave out --faults, --plan, --plan-only, --shard, "
                "--target-ci and --verify"
            )
        if self.faults and self.target_ci:
            raise TgrError("--target-ci chooses how many faults are drawn, and --faults lists them; leave one out")
        self._check_granularity()
        self._check_surface()
        self._check_patterns()
        self._check_scales()
        part = self.part  # evaluated here to report an invalid shard before anything is opened
        gated = any(getattr(self, gate) is not None for gate in GATES)
        if (part or self.plan_only or self.exhaustive) and gated:
            raise TgrError(
                "a gate judges a whole campaign; leave out --shard, --plan-only and --exhaustive, or the gate"
            )

    def _check_jobs(self) -> None:
        if self.jobs is None:
            return
        if self.jobs < 0:
            raise TgrError(f"--jobs is {self.jobs}; use 0 for one process a core, or how many")
        if self.device != "cpu":
            raise TgrError(
                f"--jobs shares a model in this machine's memory among processes, and --device is {self.device}, which "
                "one process keeps busy; leave --jobs out, or give each device a --shard"
            )
        if sys.platform != "linux":
            raise TgrError(
                "--jobs needs processes that share their memory with this one, which only Linux has; leave it out, or "
                "run several --shard"
            )

    def _check_granularity(self) -> None:
        if not self.by_map:
            return
        given = [name for name in ("faults", "exhaustive", "surface", "target_ci") if getattr(self, name)]
        usual = (("strike", defaults.STRIKE), ("target", defaults.TARGET))
        given += [name for name, value in usual if getattr(self, name) != value]
        if given:
            options = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            raise TgrError(
                f"--granularity {self.granularity} strikes --injections neurons in each feature map; "
                f"leave out {options}"
            )
        if self.sampling == "stratified":
            raise TgrError(
                "--sampling stratified gives the bits of a site unequal numbers of faults, and --granularity "
                f"{self.granularity} gives each feature map as many; use --sampling importance or uniform"
            )

    def _check_scales(self) -> None:
        if self.strike != "scale":
            return
        if self.patterned:
            raise TgrError("--strike scale changes all values that share the scale; leave --pattern out")
        if self.engine == "pytorchfi":
            raise TgrError("the engine pytorchfi strikes single elements; use --engine auto, or leave --strike out")
        if self.exhaustive:
            raise TgrError("--exhaustive strikes each element alone; leave out one of --exhaustive, --strike")
        if self.sampling == "importance" and not (self.faults or self.plan):
            raise TgrError(
                "--sampling importance weighs single elements, and --strike scale changes many at once; use --sampling "
                "uniform or stratified"
            )

    def _check_patterns(self) -> None:
        if self._names_a_pattern and self.pattern_file is not None:
            raise TgrError("--pattern and --pattern-file both say which elements a fault strikes; leave one out")
        if self.patterned and self.engine == "pytorchfi":
            raise TgrError("the engine pytorchfi strikes single elements; use --engine auto, or leave --pattern out")
        if self.patterned and self.exhaustive:
            raise TgrError("--exhaustive strikes each element alone; leave out one of --exhaustive, --pattern")
        if (
            self.lasting
            and self.target == "neuron"
            and self.sampling == "importance"
            and not (self.faults or self.plan)
        ):
            raise TgrError(
                "--sampling importance weighs a fault in a neuron by what it does to one image, and --lasting tries it "
                "on several; use --sampling uniform or stratified"
            )

    def _check_surface(self) -> None:
        stored, drawn = ("format", "weight_format", "encode"), ("faults", "plan", "plan_only", "exhaustive", "shard")
        beside = (*stored, *drawn, "target_ci", "verify", *GATES, "lasting", "pattern_file")
        given = [name for name in beside if getattr(self, name)]
        given += ["pattern"] if self._names_a_pattern else []
        usual = (("strike", defaults.STRIKE), ("target", defaults.TARGET))
        given += [name for name, value in usual if getattr(self, name) != value]
        if self.surface and given:
            options = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            raise TgrError(
                "--surface strikes single neurons under many kinds of fault at once, for estimates alone; leave out "
                f"{options}"
            )

    def refuse_unlimited_dloss(self) -> None:
        """Raise TgrError if something rests on mean dLoss, and no range limit makes it a usable figure."""
        on_dloss = (self.precision is not None and self.precision[0] == "dloss", self.max_dloss is not None)
        if self.limit == "none" and any(on_dloss):
            given, instead = ("--target-ci dloss=…", "sdc=…") if on_dloss[0] else ("--max-dloss", "--max-sdc-rate")
            raise TgrError(
                f"{given} needs a range limit, since mean dLoss without one is no usable figure; "
                f"use --limit clamp, or {instead}"
            )

    @property
    def persists(self) -> bool:
        """Return whether a fault persists over several inferences, as in a tensor, or affects a single one."""
        return self.lasting or self.target != "neuron"

    @property
    def by_map(self) -> bool:
        """Return whether faults are dealt to feature maps, instead of whole sites."""
        return self.granularity != defaults.GRANULARITY

    @property
    def patterned(self) -> bool:
        """Return whether a fault strikes more than the element that is drawn."""
        return self._names_a_pattern or self.pattern_file is not None

    @property
    def _names_a_pattern(self) -> bool:
        return grammar.split(self.pattern) != (defaults.PATTERN, "")

    @property
    def part(self) -> tuple[int, int] | None:
        """Return shard and number of shards, from 1, or None for the whole campaign; raises TgrError if malformed."""
        if self.shard is None:
            return None
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", self.shard)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise TgrError(f'--shard is "{self.shard}"; write which of how many, as 2/3, or auto in a job array')
        return int(found[1]), int(found[2])

    @property
    def precision(self) -> tuple[str, float] | None:
        """Return the target of --target-ci: a figure and the half-width of its interval.

        The half-width is absolute for "sdc", and a fraction of the mean for "dloss".
        """
        if self.target_ci is None:
            return None
        name, _, text = self.target_ci.partition("=")
        try:
            width = float(text)
        except ValueError:
            width = 0.0
        if name not in PRECISIONS or not 0 < width < 1:
            raise TgrError(f'--target-ci is "{self.target_ci}"; write sdc=0.005 or dloss=0.05, between 0 and 1')
        return name, width

    @property
    def needs_pilot(self) -> bool:
        """Return whether a pilot is needed to allocate the faults."""
        return self.faults is None and (self.sampling == "stratified" or self.precision is not None)
