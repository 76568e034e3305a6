"""Executes the operations of a graph in order, and finds which depend on which."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.fx.node import Node, map_arg

from tgr_cli.faults.operation_names import INDEXING, SHAPE_ONLY, name_of
from tgr_cli.pooling import max_pool2d

# The same results in less time, where no gradient is wanted.
QUICK: Mapping[Any, Callable[..., Any]] = {torch.ops.aten.max_pool2d.default: max_pool2d}

Program = Sequence[tuple[Node, Sequence[Node]]]


def with_deaths(nodes: Sequence[Node], keep: Collection[Node]) -> Program:
    """Return the operations, each with the values to free after it: those without a later reader, except `keep`."""
    last: dict[Node, Node] = {}
    for node in nodes:
        last[node] = node  # an unused value is freed at once
        for used in node.all_input_nodes:
            last[used] = node
    dying: dict[Node, list[Node]] = {}
    for value, user in last.items():
        if value not in keep:
            dying.setdefault(user, []).append(value)
    return [(node, dying.get(node, [])) for node in nodes]


def evaluate(
    program: Program,
    values: dict[Node, Any],
    touch: Callable[[Node, Any], Any] | None = None,
    sizes: Mapping[Node, list[int]] | None = None,
    *,
    gradients: bool = False,
    instead: Mapping[Node, Callable[..., Any]] | None = None,
) -> dict[Node, Any]:
    """Run the operations on `values`, adding results and freeing values after their last use, and return it.

    `touch` is called with each node and its result, and returns the value to go on with. `sizes` replaces the second
    argument of some operations, `instead` the function of some. Nothing is recorded for a backward pass unless
    `gradients`.
    """
    with torch.enable_grad() if gradients else torch.inference_mode():
        for node, dead in program:
            args, kwargs = map_arg((node.args, node.kwargs), values.__getitem__)
            if sizes and node in sizes:
                args = (args[0], sizes[node], *args[2:])
            function: Any = (instead or {}).get(node, node.target)
            if not gradients:
                function = QUICK.get(function, function)
            result = function(*args, **kwargs)
            values[node] = result if touch is None else touch(node, result)
            for name in dead:
                del values[name]
    return values


def downstream(nodes: Iterable[Node], sources: Iterable[Node], born: Collection[Node] = ()) -> set[Node]:
    """Return `sources` and those of `nodes` (in execution order) that depend on one of them or are in `born`.

    An operation that reads only the shape of a value does not depend on it.
    """
    found = set(sources)
    for node in nodes:
        reads = node.op == "call_function" and name_of(node) not in SHAPE_ONLY
        if node in born or (reads and not found.isdisjoint(node.all_input_nodes)):
            found.add(node)
    return found


def ancestors(nodes: Iterable[Node], *, through_positions: bool = True) -> set[Node]:
    """Return `nodes` and all nodes whose values they depend on.

    Tensors of positions, such as the indices of an embedding, may be left out.
    """
    found, open_nodes = set[Node](), list(nodes)
    while open_nodes:
        node = open_nodes.pop()
        if node not in found:
            found.add(node)
            if name_of(node) not in SHAPE_ONLY:
                positions = name_of(node) in INDEXING and not through_positions
                open_nodes.extend(node.all_input_nodes[:1] if positions else node.all_input_nodes)
    return found


def origins(nodes: Iterable[Node], *, through_positions: bool = True) -> set[Node]:
    """Return the graph's inputs that the values of `nodes` depend on, as `ancestors` does."""
    return {node for node in ancestors(nodes, through_positions=through_positions) if node.op == "placeholder"}
