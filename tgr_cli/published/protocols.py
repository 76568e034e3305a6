"""The papers' protocols: the options of each command that set up a paper's experiment.

An option that a paper leaves open is not listed. None and False mean that the option is not given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tgr_cli.errors import TgrError, one_of

# A fault is one flipped bit of one random neuron, on an image that is classified correctly; it lasts one inference.
ONE_FLIP: Mapping[str, Any] = MappingProxyType(
    {
        "fault_model": "flip",
        "pattern": "element",
        "pattern_file": None,
        "strike": "element",
        "target": "neuron",
        "lasting": False,
        "label": "true",
        "all_images": False,
        "sampling": "uniform",
        "target_ci": None,
        "confidence": 0.99,
        "encode": None,
    }
)
FLOAT: Mapping[str, Any] = MappingProxyType({"format": None, "weight_format": None, "targets": "conv,linear"})
INT8: Mapping[str, Any] = MappingProxyType({"format": "int8", "weight_format": None, "targets": "conv"})


@dataclass(frozen=True, kw_only=True)
class PaperProtocol:
    """A paper's protocol: `options` are by command, then by the option's name with _ for -."""

    called: str
    source: str
    options: Mapping[str, Mapping[str, Any]]


PROTOCOLS: Mapping[str, PaperProtocol] = MappingProxyType(
    {
        "neurips": PaperProtocol(
            called="NeurIPS 2023",
            source="Hardware Resilience Properties of Text-Guided Image Classifiers, NeurIPS 2023, sections 5.2 and 7",
            options={
                "evaluate": FLOAT,
                "profile-ranges": FLOAT,
                "inject": {**FLOAT, **ONE_FLIP, "granularity": "site", "injections": 4096, "limit": "clamp"},
                "top2diff-sweep": {"start": 0.01, "stop": 0.4, "step": 0.01},
            },
        ),
        "issre": PaperProtocol(
            called="ISSRE 2021",
            source="Optimizing Selective Protection for CNN Resilience, ISSRE 2021, section VI",
            options={
                "evaluate": INT8,
                "profile-ranges": INT8,
                # Section II: int8 holds nothing beyond its range, so no other limit is applied. 12,288 is the oracle's.
                "inject": {**INT8, **ONE_FLIP, "granularity": "map", "injections": 12288, "limit": "format"},
                "top2diff-sweep": {
                    "start": 0.0,
                    "stop": 1.0,
                    "step": 0.01,
                    "count_by": "neurons",
                    "targets": "conv",
                    "confidence": 0.99,
                },
                "protect": {
                    "split": 0.8,
                    "folds": 1,
                    "order": ("dloss",),
                    "count_by": None,
                    "targets": "conv",
                    "confidence": 0.99,
                },
            },
        ),
    }
)


def options_of(protocol: str, command: str) -> Mapping[str, Any]:
    """Return the options of `command` that the protocol sets; raises TgrError if there is no such protocol or none."""
    one_of("--as-published", protocol, PROTOCOLS)
    found = PROTOCOLS[protocol].options
    if command not in found:
        having = [name for name, other in PROTOCOLS.items() if command in other.options]
        instead = f"use {' or '.join(having)}" if having else f"it is for {', '.join(found)}"
        raise TgrError(f'--as-published is {protocol}, whose paper says nothing of "tgr {command}"; {instead}')
    return found[command]
