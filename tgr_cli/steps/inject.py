"""Run a campaign of single-bit faults: the rows of every fault, and each site's vulnerability."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tgr_cli.artifacts import store
from tgr_cli.artifacts.provenance import normalised, sha256_file, sha256_names
from tgr_cli.artifacts.schemas import INJECTIONS, VULNERABILITY
from tgr_cli.artifacts.store import provenance_for
from tgr_cli.data.datasets import DataSource
from tgr_cli.data.transforms import PreprocessingOptions
from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.faults import campaign, fault_list
from tgr_cli.faults.bits import width
from tgr_cli.faults.engines import ENGINES, memory
from tgr_cli.faults.engines.engine import Engine
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import MODES
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sampling import uniform
from tgr_cli.faults.sites import Site
from tgr_cli.metrics import summary
from tgr_cli.metrics.outcomes import with_nulls
from tgr_cli.models.source import ModelSource
from tgr_cli.reporting import SILENT, Reporter
from tgr_cli.steps.limit import range_limit
from tgr_cli.steps.subject import Subject
from tgr_cli.steps.verify import verify

LABELS = ("true", "golden")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to strike, how, and how often; `faults` names a file of faults that replaces the draw."""

    data: DataSource
    preprocessing: PreprocessingOptions
    source: ModelSource
    ranges: Path | None = None
    limit: str = "clamp"
    injections: int = 4096
    images: int | None = None
    all_images: bool = False
    label: str = "true"
    engine: str = "auto"
    targets: str = "conv,linear"
    confidence: float = 0.99
    seed: int = 0
    batch_size: int = 32
    workers: int = 0
    device: str = "cpu"
    memory: str = "2GiB"
    faults: Path | None = None
    verify: int = 0
    max_sdc_rate: float | None = None
    max_dloss: float | None = None
    workdir: Path = Path("runs")
    out: Path | None = None

    def __post_init__(self) -> None:
        for value, name, known in (
            (self.limit, "--limit", MODES),
            (self.label, "--label", LABELS),
            (self.engine, "--engine", tuple(ENGINES)),
        ):
            if value not in known:
                raise TgrError(f'{name} is "{value}"; use one of {", ".join(known)}.{did_you_mean(value, known)}')
        if self.injections < 1:
            raise TgrError(f"--injections is {self.injections}; use at least 1")
        if self.verify < 0:
            raise TgrError(f"--verify is {self.verify}; use 0 for none, or how many faults to run again")
        memory.parsed(self.memory)
        if not 0 < self.confidence < 1:
            raise TgrError(f"--confidence is {self.confidence}; use a probability between 0 and 1, as 0.99")
        if self.max_dloss is not None and self.limit == "none":
            raise TgrError(
                "--max-dloss needs a range limit, since mean dLoss without one is no usable figure; "
                "use --limit clamp, or --max-sdc-rate"
            )

    @property
    def campaign(self) -> dict[str, Any]:
        """Return what identifies the campaign: nothing of where it runs, what reads it, or where it is written."""
        values: dict[str, Any] = normalised(self)
        drawn = () if self.faults is None else ("injections", "seed")  # a list is run as it is
        for name in ("verify", "max_sdc_rate", "max_dloss", *drawn):
            del values[name]
        return values | {"sampling": "list" if self.faults else "uniform"}


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished campaign: its two artifacts, the sites' rows, the network's figures and the gate's verdict, if any.

    `verified` faults were run again through `full` and came out the same.
    """

    run: str
    faults: int
    injections: Path
    vulnerability: Path
    sites: list[dict[str, Any]]
    network: summary.Network
    gate: summary.Gate | None
    verified: int


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Return the finished campaign; both artifacts are written whole, at its end, and then verified if asked for."""
    subject = Subject.open(config, reporter)
    injections = store.prepare(config.out or subject.loaded.run.injections)
    vulnerability = store.prepare(_beside(injections))
    network = subject.network(config.targets)
    limit, inputs = range_limit(subject, network, mode=config.limit, path=config.ranges, targets=config.targets)
    engine = ENGINES[config.engine](subject.loaded.model, network, limit, memory=memory.parsed(config.memory))
    labels_N, eligible_N = subject.labels(config.label, everything=config.all_images or config.faults is not None)
    if config.faults:
        inputs["faults"] = sha256_file(config.faults)
    faults = _plan(config, subject, network, engine, eligible_N, reporter)
    columns = strike(subject, engine, faults, labels_N)

    table = pa.table({name: columns[name] for name in INJECTIONS.arrow.names}, schema=INJECTIONS.arrow)
    struck = summary.Faults.read(table)
    rows = [
        summary.vulnerability_row(_facts(site), struck.at(site.name), config.confidence)
        for number, site in enumerate(faults.sites)
        if number in faults.site_F
    ]
    figures = summary.network(rows, struck, config.confidence)
    facts: dict[str, Any] = {
        "config": config.campaign,
        "seed": None if config.faults else config.seed,
        "model": subject.loaded.fingerprint,
        "classes": sha256_names(subject.images.classes),
        "extra": subject.facts
        | {
            "macs": sum(site.macs for site in network.sites),
            "last_sites": _last_sites(network, subject.loaded.head, config.targets),
        },
    }
    store.write(injections, INJECTIONS, table, provenance_for(INJECTIONS, inputs=inputs, **facts))
    inputs = {"injections": sha256_file(injections)}
    table = pa.Table.from_pylist(rows, schema=VULNERABILITY.arrow)
    store.write(vulnerability, VULNERABILITY, table, provenance_for(VULNERABILITY, inputs=inputs, **facts))
    verified = 0
    if config.verify:
        verified = verify(subject, network, limit, faults, columns, labels_N, count=config.verify, seed=config.seed)
    return Result(
        run=subject.loaded.run.name,
        faults=len(faults),
        injections=injections,
        vulnerability=vulnerability,
        sites=rows,
        network=figures,
        gate=summary.judge_gate(figures, max_sdc_rate=config.max_sdc_rate, max_dloss=config.max_dloss),
        verified=verified,
    )


def strike(subject: Subject, engine: Engine, faults: Plan, labels_N: np.ndarray) -> dict[str, Any]:
    """Return every INJECTIONS column of the faults, in the plan's order."""
    columns: dict[str, Any] = {
        "fault": faults.number_F,
        "site": np.array([site.name for site in faults.sites], object)[faults.site_F],
        "index": faults.indices(),
        "bit": faults.bit_F,
        "image_id": np.array(subject.images.ids, object)[faults.image_F],
        "label": labels_N[faults.image_F],
        "weight": faults.weight_F,
    }
    return with_nulls(columns | campaign.run(engine, faults, subject.load, labels_N, reporter=subject.reporter))


def _plan(
    config: Config, subject: Subject, network: Network, engine: Engine, eligible_N: np.ndarray, reporter: Reporter
) -> Plan:
    unseen = set(engine.unseen())
    bits = width(subject.dtype)
    if config.faults:
        listed = fault_list.read(config.faults)
        for number, fault in enumerate(listed):
            if fault["site"] in unseen:
                raise TgrError(
                    f"fault {number} strikes {fault['site']}, which the {engine.name} engine cannot see; "
                    "leave it out or use --engine full"
                )
        return fault_list.plan(listed, network.sites, subject.images.ids, bits=bits)
    if unseen:
        reporter.note(f"the {engine.name} engine cannot see {len(unseen)} sites, left out: {', '.join(sorted(unseen))}")
    sites = [site for site in network.sites if site.name not in unseen]
    counts_S = np.full(len(sites), config.injections)
    return uniform.draw(sites, eligible_N, counts_S, bits=bits, seed=config.seed)


def _facts(site: Site) -> dict[str, Any]:
    return {"site": site.name} | {name: getattr(site, name) for name in ("op", "per_image", "neurons", "macs")}


def _beside(injections: Path) -> Path:
    if injections.name == "injections.parquet":
        return injections.with_name("vulnerability.parquet")
    return injections.with_name(f"{injections.stem}-vulnerability.parquet")


def _last_sites(network: Network, head: str, targets: str) -> list[str]:
    """Return the last layer's sites, the logits' own first: two where a projection follows the backbone's own.

    None are returned where convolutions or linear layers are no targets: the last layer may be among them.
    """
    if "conv" not in targets or "linear" not in targets:
        return []
    names = [site.name for site in network.sites if site.op != "matmul"]
    return names[:-2:-1] if head == "baseline" else names[:-3:-1]
