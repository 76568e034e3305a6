"""Failures in time of the bits that campaigns struck, by site and in all, in the words of functional safety."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tgr_cli import defaults
from tgr_cli.artifacts import store
from tgr_cli.artifacts.facts import refuse_confidence
from tgr_cli.artifacts.layout import Workspace
from tgr_cli.artifacts.measurements import campaign_of
from tgr_cli.artifacts.provenance import sha256_file
from tgr_cli.artifacts.schemas import FIT, GOLDEN, INJECTIONS, PROTECTION
from tgr_cli.artifacts.store import Artifact
from tgr_cli.campaign import exposed_bits
from tgr_cli.campaign.exposed_bits import MACS, ExposedBits, Monitors
from tgr_cli.data.source import DataSource
from tgr_cli.errors import TgrError, one_of
from tgr_cli.metrics import failures_in_time, rerunning
from tgr_cli.metrics.failures_in_time import FailureRates
from tgr_cli.metrics.summary import Gate
from tgr_cli.protection import split
from tgr_cli.protection.techniques import TECHNIQUES
from tgr_cli.reporting import SILENT, Reporter

LARGEST = 1e15  # FIT per bit or Mbit: a million upsets an hour
NON_FINITE = ("undetected", "detected")
LASTING_COUNTS = ("once", "each")


@dataclass(frozen=True, kw_only=True)
class Config:
    """The runs, the raw rate of upsets, the exposure, and what detects dangerous faults.

    A run is named as in `artifacts.measurements`, or by the path of an `injections` artifact. `raw_fit` is in FIT `per`
    Mbit (10⁶ bits) or bit; `exposure` a share of the time, or "macs": each output for its site's share of
    multiply-accumulates. `lasting_count` is "once" (a fault that stays is dangerous if any inference is) or "each".
    `protected_by` is a technique whose chosen point in `protection` (None: the workspace's) detects faults.
    """

    runs: Sequence[str]
    raw_fit: float
    per: str = defaults.PER
    exposure: str = defaults.EXPOSURE
    non_finite: str = defaults.NON_FINITE
    rerun_below: float | None = None
    rerun_on: str = defaults.CRITERION
    lasting_count: str = defaults.LASTING_COUNT
    protected_by: str | None = None
    protection: Path | None = None
    confidence: float = defaults.CONFIDENCE
    max_fit: float | None = None
    min_spfm: float | None = None
    dataset: str = defaults.DATASET
    name: str | None = None
    workdir: Path = defaults.WORKDIR
    out: Path | None = None
    csv: Path | None = None

    def __post_init__(self) -> None:
        if not self.runs:
            raise TgrError("there is no run to take failures in time of; name at least one run or injections artifact")
        if not 0 < self.raw_fit <= LARGEST:  # also rejects NaN
            raise TgrError(
                f"--raw-fit is {self.raw_fit:g}; give the upsets of the memory in 10⁹ hours per {self.per}, as 100"
            )
        one_of("--per", self.per, failures_in_time.PER)
        one_of("--non-finite", self.non_finite, NON_FINITE)
        one_of("--rerun-on", self.rerun_on, rerunning.CRITERIA)
        one_of("--lasting-count", self.lasting_count, LASTING_COUNTS)
        refuse_confidence(self.confidence)
        _ = self.exposed
        if self.rerun_below is not None and not 0 < self.rerun_below <= 1:
            raise TgrError(f"--rerun-below is {self.rerun_below:g}; give a threshold on a confidence up to 1, as 0.3")
        one_of("--protected-by", self.protected_by, TECHNIQUES)
        if self.protected_by is None and self.protection is not None:
            raise TgrError("--protection names what was chosen for several techniques; name one with --protected-by")
        if self.protected_by is not None and self.rerun_below is not None:
            raise TgrError("--protected-by has a threshold of its own; leave --rerun-below out")
        if self.max_fit is not None and not 0 <= self.max_fit < math.inf:
            raise TgrError(f"--max-fit is {self.max_fit:g}; give a rate in FIT of 0 or more, as 10")
        if self.min_spfm is not None and not 0 <= self.min_spfm <= 1:
            raise TgrError(f"--min-spfm is {self.min_spfm:g}; give a share up to 1, as 0.99")

    @property
    def exposed(self) -> float | None:
        """Return the share of the time for which bits are exposed, None if it is by multiply-accumulates."""
        if self.exposure == MACS:
            return None
        try:
            share = float(self.exposure)
        except ValueError:
            share = math.nan
        if not 0 < share <= 1:
            raise TgrError(f'--exposure is "{self.exposure}"; give a share of the time above 0 and up to 1, or {MACS}')
        return share


@dataclass(frozen=True)
class Result:
    """The artifact's path and rows, what the rates leave out by model, and the gates' verdict."""

    path: Path
    rows: list[dict[str, Any]]
    left_out: dict[str, list[str]]
    gate: Gate | None


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Compute the failure rates of every run, write the `fit` artifact (and CSV) and return its rows."""
    workspace = Workspace(config.workdir, DataSource(dataset=config.dataset, name=config.name).folder)
    found = [campaign_of(workspace, run) for run in config.runs]
    names = [name for name, _ in found]
    for name in names:
        if names.count(name) > 1:
            raise TgrError(f'two of the runs are called "{name}"; name each once, or rename one')
    monitors = Monitors(
        non_finite=config.non_finite == "detected",
        rerun_below=config.rerun_below,
        rerun_on=config.rerun_on,
        once=config.lasting_count == "once",
    )
    chosen = _chosen(workspace, config)
    measured = [
        exposed_bits.read(name, path, _protected(monitors, chosen, name, path, config), config.exposed)
        for name, path in found
    ]
    read = [path for _, path in found] + ([chosen.path] if chosen else [])
    path = store.prepare(config.out or workspace.fit, FIT.kind, config, *read)
    if config.csv:
        _prepare_csv(config.csv, path, read)
    rows, totals = list[dict[str, Any]](), dict[str, FailureRates]()
    for done, bits in enumerate(measured):
        reporter.progress("runs", done, len(measured))
        own, totals[bits.name] = _rows(bits, config)
        rows += own
    left_out = {bits.name: bits.left_out for bits in measured}
    _write(path, config, measured, rows, left_out, chosen)
    if config.csv:
        with store.replacing(config.csv) as temporary:
            temporary.write_text(_as_csv(rows), encoding="utf-8")
    gate = failures_in_time.gate(totals, max_fit=config.max_fit, min_spfm=config.min_spfm)
    return Result(path, rows, left_out, gate)


def _chosen(workspace: Workspace, config: Config) -> Artifact | None:
    """Return the artifact with the protections that were chosen, if one is to be counted."""
    return store.read(config.protection or workspace.protection, PROTECTION) if config.protected_by else None


def _protected(monitors: Monitors, chosen: Artifact | None, name: str, campaign: Path, config: Config) -> Monitors:
    """Return the monitors with the protection that was chosen for this run, judged on its deployment images.

    Raises TgrError if none was, or several, or from other files than the run now has.
    """
    if chosen is None:
        return monitors
    again = f'run "tgr protect {name} --technique {config.protected_by}" first'
    own = [each for each in chosen.fact("chosen") if (each["model"], each["technique"]) == (name, config.protected_by)]
    if not own:
        raise TgrError(f"{chosen.path} holds no chosen {config.protected_by} for {name}; {again}")
    if len(own) > 1:
        raise TgrError(
            f"{chosen.path} holds {len(own)} of {config.protected_by} for {name}; {again}, with one --order "
            "and one --criterion"
        )
    made_from, settings = chosen.provenance.inputs, chosen.provenance.config
    golden = campaign.with_name(campaign.name.replace(INJECTIONS.kind, GOLDEN.kind, 1))
    for path, role in ((campaign, "injections"), (golden, "golden")):
        if not path.is_file() or made_from.get(f"{role} {name}") != sha256_file(path):
            raise TgrError(f"{chosen.path} was not chosen from the {role} of {name} that is there now; {again}")
    if settings.get("rerun_with"):
        raise TgrError(
            f"{chosen.path} runs inferences again on {settings['rerun_with']}, whose misses are counted by tgr protect "
            f"alone; {again}, without --rerun-with"
        )
    images = store.read(golden, GOLDEN, columns=("image_id",)).column("image_id").tolist()
    analysed = split.analysis(images, settings["split"], chosen.provenance.seed or 0)
    (point,) = own
    return replace(
        monitors,
        rerun_below=point["threshold"],
        rerun_on=point["criterion"] or monitors.rerun_on,
        duplicated=point["maps"] or {},
        images=frozenset(name for name, is_in in zip(images, analysed, strict=True) if not is_in),
    )


def _rows(bits: ExposedBits, config: Config) -> tuple[list[dict[str, Any]], FailureRates]:
    """Return the rows of a model's sites and of all of them together, and the rates of the latter."""
    raw = config.raw_fit / failures_in_time.PER[config.per]
    rows = []
    for place, site in enumerate(bits.sites):
        at = slice(place, place + 1)
        rates = failures_in_time.failure_rates(
            bits.struck.at(place), bits.bits[at], bits.exposure[at], raw, config.confidence
        )
        rows.append({"model": bits.name, "site": site["site"], "op": site["op"], **rates.row()})
    whole = failures_in_time.failure_rates(bits.struck, bits.bits, bits.exposure, raw, config.confidence)
    return [*rows, {"model": bits.name, "site": "", "op": "", **whole.row()}], whole


def _write(
    path: Path,
    config: Config,
    measured: Sequence[ExposedBits],
    rows: Sequence[dict[str, Any]],
    left_out: dict[str, list[str]],
    chosen: Artifact | None,
) -> None:
    settings = ("raw_fit", "per", "exposure", "non_finite", "rerun_below", "rerun_on", "lasting_count", "confidence")
    provenance = store.provenance_for(
        FIT,
        config={"models": [bits.name for bits in measured]}
        | {name: getattr(config, name) for name in settings}
        | ({"protected_by": config.protected_by} if chosen else {}),
        inputs={f"injections {bits.name}": bits.campaign.sha256 for bits in measured}
        | ({"protection": chosen.sha256} if chosen else {}),
        extra={
            "formats": {bits.name: bits.campaign.provenance.number_format for bits in measured},
            "left_out": left_out,
        },
    )
    store.write(path, FIT, {name: [row[name] for row in rows] for name in FIT.arrow.names}, provenance)


def _prepare_csv(path: Path, artifact: Path, read: Sequence[Path]) -> None:
    """Raise TgrError if the CSV would replace another file than such a table."""
    header = ",".join(FIT.arrow.names)
    if path.absolute() == artifact.absolute():
        raise TgrError(f"--csv is {path}, where the artifact is written; name another file")
    if path.is_file() and path.stat().st_size and not path.read_bytes().startswith(header.encode()):
        raise TgrError(f"--csv is {path}, which is no table that tgr fit wrote; name another file, or remove it first")
    store.prepare(path, "", *read)


def _as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows with full precision; None is an empty cell."""
    written = io.StringIO()
    writer = csv.DictWriter(written, FIT.arrow.names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()
