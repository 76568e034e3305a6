"""Gradients through operations that round or quantise, whose derivative is zero almost everywhere or unknown to torch.

Gradients are straight-through estimates. Integers cannot carry a gradient in torch, so between quantisation and
dequantisation the same numbers are computed in float32. Such gradients estimate the effects of faults; the results of
inferences are always computed by the model's own operations.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.fx.node import Node
from torch.utils._pytree import tree_map

from tgr_cli.faults.formats.stored import is_stored
from tgr_cli.faults.graph_sites import CONVOLUTIONS, PRODUCTS, SAME_VALUES
from tgr_cli.faults.operation_names import ARITHMETIC, DECODED, POINTWISE, QUANTIZE, ROUND, name_of
from tgr_cli.faults.straight_through import straight

Function = Callable[..., Any]
DEQUANTIZE = tuple(f"de{name}" for name in QUANTIZE)
# These compute the same with floats as with integers that have the same values.
SAME_WITH_FLOATS = (
    *(*SAME_VALUES, *POINTWISE, *ARITHMETIC, *CONVOLUTIONS, *PRODUCTS, "linear", "clamp_min", "clamp_max", "neg"),
    *("getitem", "cat", "slice", "select", "split", "split_with_sizes", "squeeze", "max_pool2d", "amax", "sum"),
)
LIBRARIES = ("quantized_decomposed", "torchao")  # their operations have no derivative


def integer_gradients(nodes: Sequence[Node], leaves: Collection[Node]) -> dict[Node, Function]:
    """Return replacements for operations that round or read integers, through which gradients pass.

    `nodes` run in this order. `leaves` are the inputs of the graph, and other nodes, that gradients are taken by; those
    that hold integers are to be given as float32. At an operation on integers that is not known here gradients end.
    """
    instead: dict[Node, Function] = {}
    moving, as_floats = set(leaves), {node for node in leaves if is_integer(node)}
    for node in nodes:
        if moving.isdisjoint(node.all_input_nodes):
            continue
        moving.add(node)
        name, reads = name_of(node), not as_floats.isdisjoint(node.all_input_nodes)
        if name in QUANTIZE or (name == "_to_copy" and is_integer(node) and not reads and _is_real(node.args[0])):
            instead[node] = partial(_quantised, node)
        elif name in ROUND:
            instead[node] = partial(_rounded, node)
        elif name == "clamp" and any(map(_rounds, (*node.all_input_nodes, *node.users))):
            instead[node] = partial(_held, node)
        elif name in DEQUANTIZE and reads:
            instead[node] = partial(_dequantised, node)
        elif name == DECODED and reads:
            instead[node] = _as_stored
        elif name in SAME_WITH_FLOATS and reads:
            instead[node] = partial(_with_floats, node)
        elif reads or getattr(node.target, "namespace", "") in LIBRARIES:
            instead[node] = partial(_without_gradient, node)
            continue
        if node in instead and is_integer(node):
            as_floats.add(node)
    return instead


def steps(name: str, value: Tensor, given: Sequence[Any]) -> Tensor | float:
    """Return the size of a quantisation's step for each element of `value`, in a shape that broadcasts with it.

    `name` is the operation; `given` are its arguments after the value.
    """
    kind = name.removeprefix("de")
    if kind == "quantize_per_channel":
        shape = [1] * value.ndim
        shape[given[2]] = -1
        per_channel: Tensor = given[0].reshape(shape)
        return per_channel
    if kind == "quantize_affine":
        sizes, scale = given[:2]
        scale = scale.reshape([length // size for length, size in zip(value.shape, sizes, strict=True)])
        for axis, size in enumerate(sizes):
            scale = scale.repeat_interleave(size, axis)
        return scale
    step: Tensor | float = given[0]
    return step


def _quantised(node: Node, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    words = _call(node, _detached((value, *args)), kwargs).float()
    slope = 1 / steps(name_of(node), value, _detached(args)) if name_of(node) in QUANTIZE else 1.0
    return straight(value, words, slope)


def _dequantised(node: Node, words: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    integers = words.detach().to(node.all_input_nodes[0].meta["val"].dtype)
    value = _call(node, (integers, *_detached(args)), kwargs)
    return straight(words, value, steps(name_of(node), words, _detached(args)))


def _rounded(node: Node, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return straight(value, _call(node, (value.detach(), *args), kwargs))


def _held(node: Node, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return values held to a range. At its ends, where torch's derivative is 0, it is 1: half of all changes stay."""
    held = _call(node, (value.detach(), *args), kwargs)
    return straight(value, held, (held == value.detach()).float())


def _as_stored(words: Tensor, *_: Any) -> Tensor:
    """Return the words themselves, which are without a fault; their floats cannot be decoded."""
    return words


def _with_floats(node: Node, *args: Any, **kwargs: Any) -> Any:
    """Return an operation's result where integers are given as float32, and are to be returned so."""
    name, dtype = name_of(node), getattr(node.meta["val"], "dtype", torch.float32)
    args = tree_map(lambda one: one.float() if isinstance(one, Tensor) and is_stored(one.dtype) else one, args)
    if name == "_int_mm":
        return torch.mm(*args)
    if name == "_to_copy":
        return args[0].to(torch.float32 if is_stored(dtype) else dtype)
    result = _call(node, args, {key: value for key, value in kwargs.items() if key != "dtype"})
    return result.to(dtype) if isinstance(result, Tensor) and dtype.is_floating_point else result


def _without_gradient(node: Node, *args: Any, **kwargs: Any) -> Any:
    """Return an operation's result on the integers themselves, as a constant."""

    def plain(source: Any, one: Any) -> Any:
        if not isinstance(one, Tensor) or not isinstance(source, Node):
            return one
        return one.detach().to(source.meta["val"].dtype)

    return _call(node, tree_map(plain, tuple(node.args), args), kwargs)


def _detached(args: Any) -> Any:
    return tree_map(lambda one: one.detach() if isinstance(one, Tensor) else one, args)


def _call(node: Node, args: Any, kwargs: Any) -> Any:
    return node.target(*args, **kwargs)  # type: ignore[operator]


def is_integer(node: Node) -> bool:
    """Return whether an operation's result is a tensor of integers."""
    value = node.meta.get("val")
    return isinstance(value, Tensor) and is_stored(value.dtype)


def _rounds(node: Node) -> bool:
    return name_of(node) in ROUND or is_integer(node)


def _is_real(node: Any) -> bool:
    value = node.meta.get("val") if isinstance(node, Node) else None
    return isinstance(value, Tensor) and value.is_floating_point()
