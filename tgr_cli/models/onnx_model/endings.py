"""What a file ends in, where that is no logits."""

from pathlib import Path
from typing import TYPE_CHECKING

from tgr_cli.errors import TgrError

if TYPE_CHECKING:
    from onnx import GraphProto

OF_PROBABILITIES = "dLoss and Top2Diff would be those of a second softmax"
OF_LABELS = "the margins between classes are lost in it"
# A LogSoftmax is none of them: a softmax of its output is that of the logits, so that all metrics are the same.
ENDINGS = {
    "Softmax": OF_PROBABILITIES,
    "Sigmoid": OF_PROBABILITIES,
    "HardSigmoid": OF_PROBABILITIES,
    "Hardmax": OF_LABELS,
    "ArgMax": OF_LABELS,
    "ArgMin": OF_LABELS,
    "TopK": "its values are those of other classes for each image",
}
# Operators that leave values what they are: other shapes, types and bounds.
PASSING = (
    "Cast", "CastLike", "Clip", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"
)  # fmt: skip


def refuse_without_logits(path: Path, graph: "GraphProto", output: str) -> None:
    """Raise TgrError where an operator of `ENDINGS` comes last, or has only ones of `PASSING` after it."""
    makers = {name: node for node in graph.node for name in node.output if name}
    last = makers.get(output)
    if last is None:
        raise TgrError(f'{path} computes nothing: its output "{output}" is an input or a stored tensor')
    while last is not None and last.op_type in PASSING:
        last = makers.get(last.input[0])
    if last is not None and last.op_type in ENDINGS:
        a = "an" if last.op_type[0] == "A" else "a"
        raise TgrError(
            f'{path} ends in {a} {last.op_type} ("{last.name or last.output[0]}"), where logits are expected: '
            f'{ENDINGS[last.op_type]}; keep what goes into it, "{last.input[0]}", as the output'
        )
