"""A stored campaign that a new one is held against, so that a change that makes a network worse does not go unseen."""

from dataclasses import dataclass
from pathlib import Path

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import Workspace, vulnerability_beside
from tgr_cli.artifacts.measurements import campaign_of
from tgr_cli.artifacts.provenance import Provenance
from tgr_cli.artifacts.schemas import INJECTIONS, VULNERABILITY
from tgr_cli.campaign import comparable, results
from tgr_cli.errors import TgrError
from tgr_cli.metrics import summary
from tgr_cli.metrics.summary import Gate, NetworkEstimates
from tgr_cli.metrics.verdict import gate_on_change
from tgr_cli.reporting import Reporter


@dataclass(frozen=True)
class StoredCampaign:
    """A campaign that was run before: its name and `injections`, how it was made, and the network's estimates."""

    name: str
    path: Path
    provenance: Provenance
    network: NetworkEstimates

    @classmethod
    def read(cls, workspace: Workspace, run: str) -> "StoredCampaign":
        """Return the campaign `run`: a name in the workspace, or a path; raises TgrError if there is none."""
        name, path = campaign_of(workspace, run)
        injections = store.read(path, INJECTIONS, columns=results.COLUMNS)
        vulnerability = store.read(vulnerability_beside(path), VULNERABILITY)
        config = injections.provenance.config
        faults = results.read(injections.table, config)
        network = summary.network(vulnerability.table.to_pylist(), faults, config["confidence"])
        return cls(name, path, injections.provenance, network)

    def refuse_unlike(self, ours: Provenance, reporter: Reporter) -> None:
        """Raise TgrError if a campaign made like `ours` would differ by its settings; report other differences."""
        found = comparable.differences(self.name, self.provenance, "this campaign", ours)
        if refused := [each.sentence for each in found if each.refused]:
            raise TgrError(
                f"{'; '.join(refused)}: --fail-on-change would judge that, too. Give the same settings, or run "
                f"{self.name} again with these"
            )
        for each in found:
            reporter.note(each.sentence)

    def judge(self, ours: NetworkEstimates, *, limited: bool) -> Gate:
        """Return whether a campaign with these estimates is worse; mean dLoss counts if values were `limited`."""
        figures = {"sdc + non_finite rate": "failure_rate"} | ({"mean dLoss": "mean_dloss"} if limited else {})
        return summary.worst(
            [
                gate_on_change(what, getattr(ours, figure), getattr(self.network, figure), self.name)
                for what, figure in figures.items()
            ]
        )
