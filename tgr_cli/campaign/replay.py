"""Replays one stored fault and compares the result with the stored one."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import of_target
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.artifacts.store import Artifact
from tgr_cli.campaign import identity, runs
from tgr_cli.campaign.config import Config
from tgr_cli.campaign.deployed import open_subject
from tgr_cli.campaign.prepared import PreparedCampaign, with_batch_size
from tgr_cli.errors import TgrError
from tgr_cli.faults import fault_list, units
from tgr_cli.faults.fault_models import fault_model_named
from tgr_cli.faults.fault_models.mixture import MIXTURE
from tgr_cli.faults.formats import format_named
from tgr_cli.faults.patterns import pattern_of
from tgr_cli.faults.patterns.by_operation import OF_A_FILE
from tgr_cli.metrics.outcomes import agree
from tgr_cli.reporting import SILENT, Reporter

OF_THE_CAMPAIGN = (
    *("limit", "label", "target", "targets", "fault_model", "pattern", "strike"),
    *("format", "weight_format", "encode"),
)


@dataclass(frozen=True, kw_only=True)
class ReplayedRow:
    """A fault as stored and as replayed, both with the INJECTIONS columns."""

    row: int
    stored: dict[str, Any]
    again: dict[str, Any]

    @property
    def agrees(self) -> bool:
        """Return whether the outcome is the same and dLoss within 1e-4 + 1e-4 × dLoss of the stored one."""
        losses = [math.nan if row["dloss"] is None else row["dloss"] for row in (self.again, self.stored)]
        return agree(self.again["outcome"], losses[0], self.stored["outcome"], losses[1])


def run(config: Config, row: int, reporter: Reporter = SILENT) -> ReplayedRow:
    """Return row `row` of the run's injections (or of the artifact `config.faults`) and its replay.

    Range limit, labels, targets, number formats and kind of fault are those of the stored campaign. Raises TgrError if
    the row does not exist, or model, preprocessing, settings or ranges differ from the stored campaign's.
    """
    subject = open_subject(config, reporter)
    path = config.faults or subject.file(of_target(subject.loaded.run.injections, config.target))
    artifact = store.read(path, INJECTIONS)
    if not 0 <= row < artifact.table.num_rows:
        raise TgrError(f"{path} has rows 0 to {artifact.table.num_rows - 1}, no row {row}; choose one of them")
    if artifact.provenance.model != subject.loaded.fingerprint:
        raise TgrError(
            f"{path} is a campaign on another model (fingerprint {str(artifact.provenance.model)[:12]}, this one has "
            f"{subject.loaded.fingerprint[:12]}); name that model's --checkpoint or run"
        )
    config = replace(config, **_as_it_was(config, artifact))
    alike = (config.format, config.weight_format) == (subject.format, subject.weight_format)
    subject = replace(subject, settings=config) if alike else open_subject(config, reporter)
    config, subject = with_batch_size(config, subject)
    if differing := runs.otherwise_prepared(artifact, subject.facts):
        raise TgrError(f"{path} was run on images prepared with {differing} now; give the same preprocessing")
    stored = artifact.table.slice(row, 1).to_pylist()[0]
    ranges = config.ranges or subject.file(subject.loaded.run.ranges)
    if "ranges" in artifact.provenance.inputs and not ranges.exists():
        raise TgrError(f"{path} was limited by ranges that are no longer at {ranges}; name them with --ranges")
    if stored["image_id"] not in subject.images.ids:
        pool = f"that --images {config.images} takes; leave --images out"
        if config.images is None:
            pool = f"of {subject.images.dataset}; name the campaign's own with --dataset"
        raise TgrError(
            f'row {row} of {path} strikes the image "{stored["image_id"]}", none of the {len(subject.images)} {pool}'
        )
    subject = subject.only(stored["image_id"])
    # Nothing is sampled; "uniform" avoids the checks of the other schemes.
    setup = PreparedCampaign.of(replace(config, faults=None, all_images=True, sampling="uniform"), subject)
    if setup.inputs.get("ranges") != artifact.provenance.inputs.get("ranges"):
        raise TgrError(f"{path} was limited by other ranges than those found now; name the ones it used with --ranges")
    if setup.facts["extra"].get("calibration") != artifact.provenance.extra.get("calibration"):
        raise TgrError(
            f"{path} was run on a model whose scales were fitted to other ranges than those in "
            f'{subject.loaded.run.ranges}; run "tgr profile-ranges" as for that campaign'
        )
    faults = fault_list.plan(
        [stored],
        setup.sites,
        subject.images.ids,
        choices=setup.values.choices,
        pattern=setup.pattern,
        lasting=config.persists,
    )
    columns = units.run(setup.engine, faults, setup.subject.load, setup.labelled.labels)
    again = setup.rows(faults, columns).to_pylist()[0]
    return ReplayedRow(row=row, stored=stored, again=again | {"fault": stored["fault"], "weight": stored["weight"]})


def _as_it_was(config: Config, artifact: Artifact) -> dict[str, Any]:
    """Return the stored campaign's settings that affect outcomes; raises TgrError if others are given."""
    usual = {field.name: field.default for field in fields(Config)}  # what earlier versions did without recording it
    kept = {name: artifact.provenance.config.get(name, usual[name]) for name in OF_THE_CAMPAIGN}
    if (model := kept["fault_model"]) == fault_model_named(config.fault_model).name:
        del kept["fault_model"]  # a mixture is known by its file alone
    elif model.startswith(MIXTURE) or config.fault_model.endswith(".toml"):
        raise TgrError(f"{artifact.path} was run with --fault-model {model}; give the same, a mixture by its file")
    if (pattern := kept["pattern"]) == pattern_of(config.pattern, config.pattern_file).name:
        del kept["pattern"]
    elif config.pattern_file is not None or pattern.startswith(OF_A_FILE):
        raise TgrError(f"{artifact.path} was run with --pattern {pattern}; give the same, or the same --pattern-file")
    for name, was in kept.items():
        given, option = getattr(config, name), f"--{name.replace('_', '-')}"
        if name in identity.FORMATS:
            given, was = (form and format_named(form, option).name for form in (given, was))
        if given not in (was, usual[name]):
            raise TgrError(
                f"{option} is {given}, but {artifact.path} was run with {was or f'no {option}'}; leave {option} out"
            )
    return kept
