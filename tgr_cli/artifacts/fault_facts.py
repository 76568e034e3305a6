"""What an artifact's metadata says of number formats and faults, in words; earlier versions recorded less."""

from tgr_cli.artifacts.facts import lasting
from tgr_cli.artifacts.provenance import Provenance

UNKNOWN_FORMAT = "a number format that is not recorded"
EARLIER_FAULT_MODEL = "flip"  # before fault models had names, any one bit of a word flipped
SINGLE = "element"  # the pattern of a fault that strikes one element


def fault_model_of(campaign: Provenance) -> str:
    """Return the name of a campaign's fault model."""
    return str(campaign.extra.get("fault_model") or campaign.config.get("fault_model") or EARLIER_FAULT_MODEL)


def pattern_of(campaign: Provenance) -> str:
    """Return the name of the pattern of elements that a campaign's faults strike."""
    return str(campaign.config.get("pattern") or SINGLE)


def strikes_scales(campaign: Provenance) -> bool:
    """Return whether a campaign's faults strike the words of scales, instead of those of values."""
    return campaign.config.get("strike") == "scale"


def faults_in_words(campaign: Provenance) -> str:
    """Return a campaign's fault model, with the pattern of faults that strike several elements, and their duration.

    For example "flip" and "random, pattern row, lasting". Faults in tensors always last, which is not said.
    """
    config = campaign.config
    parts = [fault_model_of(campaign)]
    parts += [f"pattern {pattern}"] if (pattern := pattern_of(campaign)) != SINGLE else []
    parts += ["in scales"] if strikes_scales(campaign) else []
    parts += ["lasting"] if lasting(config) and config.get("target", "neuron") == "neuron" else []
    return ", ".join(parts)


def struck_format_of(campaign: Provenance) -> str:
    """Return the name of the format in which struck values are stored; "" if it is not recorded."""
    return str((campaign.extra.get("struck_format") or {}).get("name") or campaign.extra.get("format") or "")


def scaled_format_of(campaign: Provenance) -> str:
    """Return the name of the format of the values whose scales a campaign strikes; "" if it strikes none."""
    if not strikes_scales(campaign):
        return ""
    config = campaign.config
    deployed = {"neuron": "format", "weight": "weight_format"}.get(str(config.get("target", "neuron")), "")
    return str(config.get("encode") or config.get(deployed) or "")


def formats_in_words(made: Provenance) -> str:
    """Return the formats of a campaign or a golden run: of the values, the weights, and the struck ones if different.

    For example "float32", "float32, weights in int8" and "float32, struck in bfloat16".
    """
    computed = str(made.extra.get("format") or UNKNOWN_FORMAT)
    stored, struck = made.extra.get("weight_format") or made.extra.get("stored_integers"), struck_format_of(made)
    if strikes_scales(made):  # whose own format is that of no value
        struck = str(made.config.get("encode") or "")
    said = f"{computed}, weights in {stored}" if stored else computed
    return said if struck in ("", computed, stored) else f"{said}, struck in {struck}"
