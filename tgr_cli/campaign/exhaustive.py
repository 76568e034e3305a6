"""Exact rates: every class × bit of the last site on every image, instead of a sample."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import EXHAUSTIVE
from tgr_cli.campaign.config import Config
from tgr_cli.campaign.deployed import open_subject
from tgr_cli.campaign.identity import DRAWING, drawn_with
from tgr_cli.campaign.prepared import PreparedCampaign
from tgr_cli.campaign.replacing import refuse_other_faults
from tgr_cli.faults.exhaustive import LastSite
from tgr_cli.faults.graph import Network
from tgr_cli.metrics.outcomes import OUTCOMES, with_nulls
from tgr_cli.reporting import SILENT, Reporter


@dataclass(frozen=True, kw_only=True)
class Exact:
    """The exact rates over all faults of the last site on these images.

    `mean_dloss` (nats) is over finite outcomes; NaN if there are none.
    """

    run: str
    path: Path
    site: str
    images: int
    faults: int
    counts: dict[str, int]
    sdc_rate: float
    failure_rate: float
    mean_dloss: float


def run(config: Config, reporter: Reporter = SILENT) -> Exact:
    """Return the exact rates of the last site; the artifact is written batch by batch."""
    subject = open_subject(config, reporter)
    output = store.prepare(config.out or subject.file(subject.loaded.run.exhaustive), EXHAUSTIVE.kind, config)
    refuse_other_faults(output, EXHAUSTIVE.kind, config)
    setup = PreparedCampaign.of(config, subject)
    config, subject = setup.config, setup.subject
    assert isinstance(setup.network, Network)  # guaranteed by checks.refuse
    last = LastSite(setup.network, setup.values.corruption)
    struck_N = np.flatnonzero(setup.labelled.eligible)
    facts = setup.facts
    settings = {name: value for name, value in drawn_with(config).items() if name not in DRAWING}
    facts["config"] = settings | {"batch_size": config.batch_size, "device": config.device}
    facts["extra"] |= {"site": last.site.name}
    counts, dloss = dict.fromkeys(OUTCOMES, 0), 0.0
    with store.streaming(output, EXHAUSTIVE, store.provenance_for(EXHAUSTIVE, **facts)) as write:
        for start in range(0, len(struck_N), config.batch_size):
            image_K = struck_N[start : start + config.batch_size]
            columns = last.strike(subject.load(image_K), setup.labelled.labels[image_K])
            image_KCV, class_KCV, choice_KCV = np.indices(columns["dloss"].shape)
            rows = {name: values.ravel() for name, values in columns.items()}
            for outcome in OUTCOMES:
                counts[outcome] += int((rows["outcome"] == outcome).sum())
            dloss += float(np.nansum(rows["dloss"]))
            rows |= {
                "image_id": np.array(subject.images.ids, object)[image_K[image_KCV.ravel()]],
                "label": setup.labelled.labels[image_K[image_KCV.ravel()]],
                "class_index": class_KCV.ravel(),
                "bit": setup.values.choices.bits(choice_KCV.ravel()),
                "choice": choice_KCV.ravel(),
            }
            write(with_nulls(rows))
            reporter.progress("striking", start + len(image_K), len(struck_N))
    faults = sum(counts.values())
    finite = faults - counts["non_finite"]
    return Exact(
        run=subject.name,
        path=output,
        site=last.site.name,
        images=len(struck_N),
        faults=faults,
        counts=counts,
        sdc_rate=counts["sdc"] / faults if faults else float("nan"),
        failure_rate=(counts["sdc"] + counts["non_finite"]) / faults if faults else float("nan"),
        mean_dloss=dloss / finite if finite else float("nan"),
    )
