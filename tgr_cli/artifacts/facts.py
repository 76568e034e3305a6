"""Types of the metadata entries of artifacts, checked whenever a file is read.

Without the check, a malformed entry (such as a number in place of a list of sites) would cause an error far from the
file that holds it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tgr_cli.errors import TgrError

LEAST_CONFIDENCE, MOST_CONFIDENCE = 0.5, 0.999999  # beyond these an interval is meaningless or cannot be computed

Check = Callable[[Any], bool]


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def is_confidence(value: Any) -> bool:
    """Return whether this is a valid confidence level for intervals, within the bounds of --confidence."""
    return isinstance(value, float) and LEAST_CONFIDENCE <= value <= MOST_CONFIDENCE


def refuse_confidence(confidence: float) -> None:
    """Raise TgrError for a --confidence for which no interval can be computed."""
    if not is_confidence(confidence):
        raise TgrError(
            f"--confidence is {confidence}; use a probability between {LEAST_CONFIDENCE} and {MOST_CONFIDENCE}, as 0.99"
        )


def lasting(config: Mapping[str, Any]) -> bool:
    """Return whether the faults of a campaign with these settings persist over several inferences, one per image.

    Older campaigns do not record it; their faults are lasting if they are in tensors.
    """
    return bool(config.get("lasting", config.get("target", "neuron") != "neuron"))


def is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def is_table(value: Any) -> bool:
    return isinstance(value, dict)


def is_format(value: Any) -> bool:
    """Return whether this has the form of `Format.facts`."""
    if not (isinstance(value, dict) and isinstance(fields := value.get("fields"), dict)):
        return False
    pairs = all(isinstance(ends, list) and len(ends) == 2 and all(map(is_count, ends)) for ends in fields.values())
    return pairs and is_text(value.get("name")) and is_count(value.get("width"))


def list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(check(item) for item in value)


def is_site(value: Any) -> bool:
    """Return whether this has the form of `prepared.site_facts`."""
    return (
        isinstance(value, dict)
        and all(is_text(value.get(name)) for name in ("site", "op"))
        and all(is_count(value.get(name)) for name in ("neurons", "macs"))
        and isinstance(value.get("per_image"), bool)
    )


def is_maps(value: Any) -> bool:
    """Return whether this has the form of `campaign.granularity.facts`: axis and number of feature maps, by site."""
    sites = value.values() if isinstance(value, dict) else [None]
    return all(isinstance(site, dict) and is_count(site.get("axis")) and is_count(site.get("count")) for site in sites)


# Absent entries are not checked: kinds of artifacts have different ones.
CONFIG: Mapping[str, Check] = {
    "confidence": is_confidence,
    "sampling": is_text,
    "target": is_text,
    "targets": is_text,
    "limit": is_text,
    "label": is_text,
    "lasting": is_flag,
    "fault_model": is_text,
    "pattern": is_text,
    "strike": is_text,
    "granularity": is_text,
    "engine": is_text,
}
EXTRA: Mapping[str, Check] = {
    "run": is_text,
    "used": is_text,
    "plan": is_text,
    "origin": is_text,
    "init": is_text,
    "encoder": is_text,
    "images": is_count,
    "num_classes": is_count,
    "params": is_count,
    "macs": is_count,
    "pilot": is_count,
    "rows": is_count,
    "units": is_count,
    "images_per_unit": is_count,
    "dim": is_count,
    "format": is_text,
    "weight_format": is_text,
    "stored_integers": is_text,
    "number_format": is_format,
    "weight_number_format": is_format,
    "rounded": is_text,
    "calibration": is_table,
    "fault_model": is_text,
    "pattern": is_text,
    "struck_format": is_format,
    "formats": is_table,
    "preprocessing": is_table,
    "sites": list_of(is_site),
    "last_sites": list_of(is_text),
    "feature_maps": is_maps,
    "v_cnn": is_table,
    "shard": list_of(is_count),
    "top1": is_share,
    "top5": is_share,
}


def check(config: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
    """Raise TgrError if an entry has the wrong type or range."""
    for values, checks in ((config, CONFIG), (extra, EXTRA)):
        for name, holds in checks.items():
            if name in values and values[name] is not None and not holds(values[name]):
                raise TgrError(f"its tgr metadata has {name} {str(values[name])[:40]}, which is not a valid value")
