"""Output of a summary of feature maps, as tables and JSON."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tgr_cli.commands.console import Console, count, in_percent, number

if TYPE_CHECKING:
    from tgr_cli.metrics.feature_maps import MapsDigest

FIGURES = {"v_dloss": "by mean dLoss (nats)", "v_sdc": "by mismatch (probability)"}


def print_maps(console: Console, digest: "MapsDigest") -> None:
    """Print V_CNN, the share of it that each site holds, and the most vulnerable feature maps."""
    for name, (value, low, high) in digest.v_cnn.items():
        console.line(f"V_CNN {FIGURES[name]}: {number(value)} ({number(low)} to {number(high)})")
    console.table(
        "Feature maps by site, in shares of the network",
        ("site", "maps", "work\n(%)", "V by mean\ndLoss (%)", "V by\nmismatch (%)"),
        [
            (row["site"], count(row["maps"]), *(in_percent(row[c]) for c in ("v_orig", "v_dloss_share", "v_sdc_share")))
            for row in digest.sites
        ],
    )
    if digest.most:
        limits = ("lower\nlimit", "upper\nlimit")
        console.table(
            "Most vulnerable feature maps",
            ("site", "channel", "faults", "V by\nmean dLoss", *limits, "V by\nmismatch", *limits),
            [
                (
                    *(row["site"], count(row["channel"]), count(row["faults"])),
                    *(number(row[f"{name}{end}"], 3) for name in FIGURES for end in ("", "_low", "_high")),
                )
                for row in digest.most
            ],
        )


def maps_json(digest: "MapsDigest") -> dict[str, Any]:
    """Return the summary as JSON values."""
    return asdict(digest)
