"""The report's introduction: what was measured, on what data, and the main results of each model."""

import math
from collections.abc import Sequence

from tgr_cli.artifacts.facts import lasting
from tgr_cli.artifacts.fault_facts import formats_in_words, struck_format_of
from tgr_cli.metrics.intervals import Estimate
from tgr_cli.report.figure import NONE, Block, Said
from tgr_cli.report.measured import Run
from tgr_cli.report.words import SPACE, count, listed, number, percent, plural

STRUCK = {"neuron": "activations", "weight": "weights", "bias": "biases", "buffer": "buffers"}


def opening(dataset: str, runs: Sequence[Run]) -> str:
    """Return the page's opening sentence."""
    names = listed([run.name for run in runs], most=14)
    against = f" {runs[0].name} is the baseline." if len(runs) > 1 else ""
    faults = sum(run.faults.rows for run in runs if run.faults)
    struck = f", struck with {plural(faults, 'fault')} in all" if faults else ""
    models = len({run.folder for run in runs})
    ways = f", measured in {len(runs)} ways" if models < len(runs) else ""
    return f"{plural(models, 'model')} on {dataset}{ways}{struck}: {names}.{against}"


def sentences(runs: Sequence[Run]) -> list[Said]:
    """Return each run's main results: accuracy, faults, and the network's rates with intervals."""
    return [Said(run.name, f"{'; '.join(parts)}.") for run in runs if (parts := _parts(run))]


def _parts(run: Run) -> list[str]:
    parts = []
    if run.golden:
        images = run.golden.table.num_rows
        parts.append(f"{percent(float(run.correct.mean()))} of {plural(images, 'image')} right without a fault")
    if run.network and run.faults:
        parts.append(
            f"{_struck(run, run.faults.rows)} at {plural(len(run.sites), 'site')} give, as means over sites, an SDC "
            f"rate of {_share(run.network.sdc_rate)}"
        )
        if any(row["non_finite"] for row in run.sites):
            parts.append(f"with non-finite outcomes {_share(run.network.failure_rate)}")
        if run.limited:
            parts.append(_mean_dloss(run.network.mean_dloss))
        worst = max(run.sites, key=lambda row: row["sdc_rate"])
        if worst["sdc_rate"]:
            parts.append(f"the highest SDC rate is that of {worst['site']}, {percent(worst['sdc_rate'])}")
    return parts


def measured(runs: Sequence[Run]) -> Block:
    """Return one row per run: model, data and settings of the measurement."""
    columns = (
        "model",
        "format",
        "images",
        "accuracy",
        "parameters",
        "MACs",
        "sites",
        "faults",
        "images struck",
        "struck",
        "fault model",
        "sampling",
        "range limit",
        "label",
        "seed",
        "intervals",
    )
    return Block(columns, [_cells(run) for run in runs])


def _cells(run: Run) -> tuple[str, ...]:
    golden, sites = run.golden, run.vulnerability
    facts = golden.provenance.extra if golden else {}
    first = (
        run.name,
        formats_in_words(run.provenance) if run.provenance else NONE,
        count(golden.table.num_rows if golden else None),
        percent(float(run.correct.mean()) if golden else None),
        count(facts.get("params")),
    )
    if not sites or not run.faults:
        return (*first, *[NONE] * 11)
    campaign = run.campaign
    return (
        *first,
        count(sites.provenance.extra.get("macs")),
        count(len(run.sites)),
        count(run.faults.rows),
        count(len(run.faults.images.image_id)),
        f"{STRUCK[campaign.get('target', 'neuron')]} of {str(campaign.get('targets', NONE)).replace(',', ', ')}",
        run.fault_model,
        str(campaign.get("sampling")),
        str(campaign.get("limit")),
        str(campaign.get("label")),
        NONE if sites.provenance.seed is None else str(sites.provenance.seed),
        f"{100 * run.confidence:g}{SPACE}%",
    )


def _share(estimate: Estimate) -> str:
    return f"{percent(estimate.mean)} ({percent(estimate.low)} to {percent(estimate.high)})"


def _mean_dloss(estimate: Estimate) -> str:
    if math.isnan(estimate.mean):
        return "there is no mean dLoss, as no outcome at some site is finite"
    limits = "" if math.isnan(estimate.low) else f" ({number(estimate.low)} to {number(estimate.high)})"
    flag = "" if estimate.reliable else ", which rests on too little"
    return f"a mean dLoss of {number(estimate.mean)} nats{limits}{flag}"


def _struck(run: Run, rows: int) -> str:
    assert run.vulnerability is not None
    flip = run.fault_model == "flip"
    one = "single-bit fault" if flip else "fault"
    what = f"{plural(rows, 'row')} of {one}s" if lasting(run.campaign) else plural(rows, one)
    stored = struck_format_of(run.vulnerability.provenance)
    where = f"{stored} {STRUCK[run.campaign.get('target', 'neuron')]}".strip()
    return f"{what} in {where}" if flip else f"{what} ({run.fault_model}) in {where}"
