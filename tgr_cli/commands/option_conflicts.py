"""Options that have no effect with others; typing both is refused. The rules here are those of `tgr inject`."""

from collections.abc import Callable, Mapping
from typing import Any

import typer

from tgr_cli.errors import TgrError

NUMBERS = ("sampling", "granularity", "injections", "images_per_fault", "pilot", "max_injections")
OF_A_CAMPAIGN = ("confidence", "jobs", "verify", "shard", "restart", "max_sdc_rate", "max_dloss", "fail_on_change")
Options = Mapping[str, Any]
Rules = tuple[tuple[Callable[[Options], bool], str, tuple[str, ...]], ...]  # where, in words, which


def _drawn(given: Options) -> bool:
    """Return whether the faults are drawn here; a stored plan is instead checked against these options."""
    return not (given["plan"] or given["faults"])


RULES: Rules = (
    (
        lambda given: given["replay"] is not None,
        "beside --replay, which runs one stored fault again and writes nothing",
        (
            *NUMBERS,
            *OF_A_CAMPAIGN,
            *("seed", "target_ci", "all_images", "exhaustive", "plan", "plan_only", "out", "lasting", "as_published"),
        ),
    ),
    (
        lambda given: given["exhaustive"] is not None,
        "beside --exhaustive, which strikes everything at the last site",
        (*NUMBERS, "seed", "engine", "confidence", "lasting", "jobs"),
    ),
    (
        lambda given: bool(given["surface"]),
        "beside --surface, which draws neurons in its own way",
        ("sampling", "jobs"),
    ),
    (
        lambda given: given["faults"] is not None,
        "beside --faults, which lists what is struck",
        (*NUMBERS, "all_images"),
    ),
    (lambda given: given["faults"] and not given["verify"], "beside --faults, since nothing is drawn", ("seed",)),
    (lambda given: given["target_ci"] is not None, "beside --target-ci, which chooses the number", ("injections",)),
    (lambda given: _drawn(given) and given["target_ci"] is None, "without --target-ci", ("max_injections",)),
    (
        lambda given: _drawn(given) and given["target_ci"] is None and given["sampling"] != "stratified",
        "without --sampling stratified or --target-ci",
        ("pilot",),
    ),
    (
        lambda given: _drawn(given) and given["target"] == "neuron" and not given["lasting"],
        "where neurons are struck, each fault on one image",
        ("images_per_fault",),
    ),
    (
        lambda given: given["target"] != "neuron",
        "where tensors are struck, in which faults last anyway",
        ("lasting",),
    ),
    (
        lambda given: given["target"] != "neuron",
        "where tensors are struck: it names operations whose neurons are",
        ("targets",),
    ),
    (
        lambda given: (
            given["limit"] == "none"
            and not (given["encode"] or given["fault_model"].lower().startswith("random-value"))
            and not given["fault_model"].lower().endswith(".toml")  # which may draw random values
        ),
        "beside --limit none",
        ("ranges",),
    ),
    (lambda given: not given["plan_only"], "without --plan-only", ("nodes",)),
    (
        lambda given: given["plan_only"] and given["target_ci"] is None,
        "beside --plan-only, which estimates nothing",
        ("confidence",),
    ),
    (
        lambda given: given["plan_only"] and given["target_ci"] is None and given["sampling"] != "stratified",
        "beside --plan-only without a pilot, which runs no fault",
        ("jobs",),
    ),
)


def refuse_idle(ctx: typer.Context, rules: Rules = RULES) -> None:
    """Raise TgrError for an option typed without effect; values from tgr.toml may have none."""
    for holds, where, names in rules:
        if holds(ctx.params) and (idle := [name for name in names if _typed(ctx, name)]):
            options = " and ".join(f"--{name.replace('_', '-')}" for name in idle)
            do, them = ("do", "them") if len(idle) > 1 else ("does", "it")
            raise TgrError(f"{options} {do} nothing {where}; leave {them} out")


def _typed(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
