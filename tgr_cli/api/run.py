"""A run: what was measured of one model, in a folder that the commands read too."""

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tgr_cli import defaults
from tgr_cli.api import view
from tgr_cli.api.table import Table
from tgr_cli.api.wording import in_python
from tgr_cli.artifacts import store
from tgr_cli.artifacts.columns import Schema
from tgr_cli.artifacts.layout import RunFolder, Workspace
from tgr_cli.artifacts.measurements import measured_run
from tgr_cli.artifacts.schemas import FEATURE_MAPS, GOLDEN, INJECTIONS, RANGES, TRAINING, VULNERABILITY
from tgr_cli.campaign import results
from tgr_cli.errors import TgrError
from tgr_cli.metrics import summary
from tgr_cli.metrics.summary import Gate, NetworkEstimates
from tgr_cli.paths import on_this_machine, place

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Temporary:
    """A folder of its own, deleted with this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="tgr-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class Run:
    """The measurements of one model. A table that was not measured before this object was made is None.

    `notes` are what the measurement told on the way, and `gate` the verdict on a campaign with a gate. `kept` is
    the temporary folder that it lies in, if it does: `save` keeps a copy.
    """

    measurement: RunFolder
    notes: tuple[str, ...] = ()
    gate: Gate | None = None
    kept: "Temporary | None" = field(default=None, repr=False, compare=False)
    _written: Mapping[Path, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        there = (path for path in self.folder.glob("*.parquet"))
        object.__setattr__(self, "_written", {path: path.stat().st_mtime_ns for path in there})

    @property
    def name(self) -> str:
        """Return the name of the measurement, such as `resnet20-baseline-int8`."""
        return self.measurement.called

    @property
    def folder(self) -> Path:
        """Return the run's folder."""
        return self.measurement.path

    @cached_property
    def golden(self) -> Table | None:
        """The images' losses, confidences and predictions without a fault: a row an image."""
        return self._table(self.measurement.golden, GOLDEN)

    @cached_property
    def ranges(self) -> Table | None:
        """The ranges of values without a fault: a row a site."""
        return self._table(self.measurement.ranges, RANGES)

    @cached_property
    def injections(self) -> Table | None:
        """The faults and what each did: a row a fault, or a row an image of one that lasts."""
        return self._table(self.measurement.injections, INJECTIONS)

    @cached_property
    def sites(self) -> Table | None:
        """SDC rate, failure rate and mean dLoss with intervals: a row a site."""
        return self._table(self.measurement.vulnerability, VULNERABILITY)

    @cached_property
    def feature_maps(self) -> Table | None:
        """The same for each feature map, of a campaign with `granularity="map"`."""
        return self._table(self.measurement.feature_maps, FEATURE_MAPS)

    @cached_property
    def training(self) -> Table | None:
        """The epochs of a training by tgr."""
        return self._table(self.measurement.training, TRAINING)

    @cached_property
    def network(self) -> NetworkEstimates | None:
        """The campaign's estimates for the whole network, each with its interval."""
        if self.injections is None or self.sites is None:
            return None
        config = self.injections.facts["config"]
        return summary.network(list(self.sites), results.read(self.injections.arrow, config), config["confidence"])

    @property
    def accuracy(self) -> float | None:
        """Return the share of images that are classified correctly without a fault, as `evaluate` found it."""
        return None if self.golden is None else float(self.golden.facts["top1"])

    def figure(self, column: str = "sdc_rate") -> "Figure":
        """Return a matplotlib figure of a column of `sites` with intervals, site by site.

        `column` is "sdc_rate", "failure_rate" or "mean_dloss". Raises TgrError without a campaign.
        """
        from tgr_cli.api.figure import by_site  # imports matplotlib

        if self.sites is None:
            raise TgrError(f"{self.name} has no campaign to draw; run inject first")
        return by_site(self.name, self.sites, column)

    def save(self, folder: str | Path) -> Path:
        """Copy the run to `folder`, which the commands read by its path, and return it.

        Raises TgrError where something is at that path already, and for a folder in a store, which no name can be given
        at once.
        """
        target = on_this_machine(place(folder), "folders are saved whole on this machine only")
        if target.exists():
            raise TgrError(f"{target} exists already; name a folder that does not")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as beside:
            shutil.copytree(self.folder, Path(beside) / target.name).rename(target)  # whole, or not at all
        return target

    def _table(self, path: Path, schema: Schema) -> Table | None:
        """Return the rows of a file that was there when the run was made; raises TgrError if it was written anew."""
        if path not in self._written:
            return None
        if not path.exists() or path.stat().st_mtime_ns != self._written[path]:
            raise TgrError(f"{path} was written anew by another measurement since; open the run again to read that one")
        artifact = store.read(path, schema)
        made = artifact.provenance
        return Table(artifact.table, {"config": made.config, "model": made.model, **made.extra})

    def _repr_html_(self) -> str:
        lines = []
        if self.golden is not None:
            lines.append(f"accuracy {self.accuracy:.2%} of {len(self.golden):,} images")
        if self.injections is not None and self.network is not None:
            lines.append(view.in_words(self.network, self.injections.facts["config"]["confidence"]))
        return view.page(self.name, lines, self.sites)


def open(run: str | Path, *, dataset: str = defaults.DATASET, workdir: str | Path = defaults.WORKDIR) -> Run:
    """Return a run by its name among those of `dataset` in `workdir`, or by the path of its folder.

    Names are as `tgr report` takes them. Raises TgrError where there is none.
    """
    with in_python():
        return Run(measured_run(Workspace(place(workdir), dataset), str(run)))
