"""Runs a graph, captured at one batch size, for another number of images.

Most operations take any batch size. Those that name the shape of their result are given another one.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, cast

from torch.fx.node import Node

from tgr_cli.faults.graph import Network
from tgr_cli.faults.operation_names import ARITHMETIC, BATCH_NORM, POINTWISE, name_of
from tgr_cli.faults.program import ancestors
from tgr_cli.faults.shares import names_batch

RESHAPING = ("view", "_unsafe_view", "reshape", "expand")
SIZED = (  # create a value of given sizes
    *(*RESHAPING, "broadcast_to", "repeat", "tile", "repeat_interleave", "arange", "full", "zeros", "ones", "empty"),
    *("new_zeros", "new_ones", "new_full", "new_empty", "rand", "randn", "eye", "linspace", "cat", "stack"),
)
CHEAP = (
    *(*POINTWISE, *ARITHMETIC, "neg", "dropout", "alias", "clone", "detach", "_to_copy", "layer_norm"),
    *("flatten", "permute", "transpose", "unsqueeze", "squeeze", *RESHAPING),
    *(BATCH_NORM, "split", "split_with_sizes", "slice", "select", "getitem"),
)
ANY_BATCH = (  # accept any batch size; whether they keep the batch axis is checked separately
    *(*CHEAP, "conv2d", "linear", "matmul", "bmm", "softmax", "cat", "mean", "pad", "roll", "linalg_vector_norm"),
    *("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "clamp_min", "scaled_dot_product_attention"),
    *("einsum", "exp", "unbind"),
)


def reshaping(network: Network, nodes: Iterable[Node], edges: Collection[Node]) -> tuple[Node, ...] | None:
    """Return those of `nodes` whose size argument contains the batch size (as the first size).

    None if the nodes can run only at the network's own batch size. `edges` are the values they start from.
    """
    of_images = [node for node in nodes if node in network.division.dependent]
    found = tuple(node for node in of_images if name_of(node) in RESHAPING)
    if all(_any_batch(network, node) for node in of_images) and all(
        lies_first(network, node) for node in (*found, *edges)
    ):
        return found
    return None


def sizes(network: Network, reshaping: Iterable[Node], count: int) -> dict[Node, list[int]]:
    """Return the size argument of each of these operations for `count` images."""
    found = {}
    for node in reshaping:
        _, shape, *_ = cast(tuple[Any, ...], node.args)
        found[node] = [node.meta["val"].shape[0] * count // network.batch_size, *shape[1:]]
    return found


def lies_first(network: Network, node: Node) -> bool:
    """Return whether the batch lies in the first axis of a node's value, with whole rows per image."""
    return network.division.outers.get(node) == 1 and node.meta["val"].shape[0] % network.batch_size == 0


def _any_batch(network: Network, node: Node) -> bool:
    """Return whether a node's operation accepts any batch size and keeps the images' shares separate."""
    several = isinstance(node.meta["val"], (tuple, list))
    fixed = [source for source in node.all_input_nodes if source not in network.division.dependent]
    return (
        name_of(node) in ANY_BATCH
        and (several or node in network.division.outers)
        and not any(_may_hold_batch(network, source, node) for source in fixed)
    )


def _may_hold_batch(network: Network, node: Node, user: Node) -> bool:
    """Return whether a value that depends on no image may still have a batch axis, as an expanded class token."""
    shape: Sequence[int] = getattr(node.meta["val"], "shape", ())
    if name_of(user) in ARITHMETIC and len(shape) < len(user.meta["val"].shape):
        return False  # broadcast operand without a batch axis
    if network.division.complete or len(shape) == 0 or shape[0] % network.batch_size:
        return False
    made = (source for source in ancestors([node]) if name_of(source) in SIZED)
    return any(names_batch(source, network.batch_size) for source in made)
