"""Consent before the first request to a language model: the estimate is shown and must be confirmed."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from tgr_cli.commands.console import Console, count
from tgr_cli.errors import TgrError, printable

if TYPE_CHECKING:
    from tgr_cli.steps.describe import Config, CostEstimate


def said(config: "Config", estimate: "CostEstimate") -> str:
    """Return in a phrase how many requests would be sent, where, and at what cost."""
    cost = "cost unknown without --price-in and --price-out" if estimate.cost is None else f"cost {estimate.cost:.2f}"
    kept = f" ({count(estimate.answered)} of {count(estimate.questions)} are answered)" if estimate.answered else ""
    return (
        f"{count(estimate.requests)} questions to {config.endpoint.model} at {config.endpoint.host}{kept}, about "
        f"{count(estimate.tokens_in)} tokens in and at most {count(estimate.tokens_out)} out, {cost}"
    )


def agree(offer: str) -> None:
    """Ask the user for confirmation; raises TgrError if it is refused, or no terminal can be asked."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise TgrError(f"this would put {offer}; add --yes to agree, or look at it first with --dry-run")
    sys.stderr.write(printable(f"This puts {offer}. Go on? [y/N] "))  # typer.confirm also writes to stdout
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise TgrError("cancelled: nothing was asked and nothing written")


def show(console: Console, config: "Config", estimate: "CostEstimate | None") -> None:
    """Print the requests that would be sent, with the prompts of one class; None: no language model is needed."""
    if estimate is None:
        facts: dict[str, object] = {"requests": 0}
    else:
        facts = {"llm": config.endpoint.model, "host": config.endpoint.host, "requests": estimate.requests}
        facts |= asdict(estimate)
    if console.as_json:
        console.json(facts)
        return
    if estimate is None:
        console.line("no language model would be asked: the descriptions are stored, imported or templates")
        return
    console.line(f"{said(config, estimate)}; of one class:")
    for prompt in estimate.prompts:
        console.line(f"  {prompt}")
