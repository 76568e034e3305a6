"""Names of the graph's operations, and groups of them that several modules use."""

import operator
from typing import Any

from torch.fx.node import Node

BATCH_NORM = "_native_batch_norm_legit_no_training"
# These read the shape of their input only, not its values.
SHAPE_ONLY = (
    *("new_zeros", "new_ones", "new_full", "new_empty", "zeros_like", "ones_like", "full_like", "empty_like"),
    *("rand_like", "randn_like", "new_empty_strided"),
)
DECODED = "decoded"  # a stored tensor, by the guard of its encoding
DECODING = (DECODED, "wrong_words")
# These read tensors of positions, or the check bits of an encoding: only their first argument holds values.
INDEXING = ("index", "index_select", "embedding", "gather", "take", "take_along_dim", *DECODING)
ARITHMETIC = ("add", "sub", "mul", "div")
# The prefix of operations whose result is rounded to a number format. They are in no group below: other batch sizes, or
# rules that follow changes, would compute the last bit of a sum differently, and near a tie it decides about a step.
ROUNDED = "rounded_"
ROUND = ("round", "floor", "ceil", "trunc")
QUANTIZE = ("quantize_per_tensor", "quantize_per_channel", "quantize_per_token", "quantize_affine")  # to integers
# These round what images give: a difference in the last bit of a sum may become a whole step.
ROUNDING = (
    *(*ROUND, "floor_divide", "fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine"),
    *("fake_quantize_per_tensor_affine_cachemask", "fake_quantize_per_channel_affine_cachemask"),
    *QUANTIZE,
)
# These jump, too, as a whole step does, but their values stay real numbers.
JUMPING = ("sign", "sgn", "heaviside", "frac", "fmod", "remainder", "bucketize", "searchsorted", "hardshrink")
POINTWISE = (  # elementwise functions of one tensor
    *("relu", "hardtanh", "hardswish", "hardsigmoid", "leaky_relu", "elu", "sigmoid", "tanh", "silu", "gelu", "clamp"),
)
MASKING = ("relu", "hardtanh", "hardswish", "hardsigmoid", "clamp", "max_pool2d")  # many changes end at these


def name_of(node: Any) -> str:
    """Return the ATen name of a node's operation, such as "conv2d"; "" for any other node.

    In a deployed network sites have names of their own, such as "rounded_conv2d".
    """
    if not isinstance(node, Node):
        return ""
    if node.target is operator.getitem:
        return "getitem"
    return str(getattr(node.target, "operation_name", None) or getattr(node.target, "_opname", ""))
