"""Finds the sites of a graph: names, multiply-accumulates, and the batch axis of each output."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.export import ExportedProgram
from torch.fx.node import Node

from tgr_cli.faults.formats.stored import is_stored
from tgr_cli.faults.operation_names import ARITHMETIC, DECODED, name_of
from tgr_cli.faults.program import origins
from tgr_cli.faults.shares import Shares
from tgr_cli.faults.sites import Site, numbered

CONVOLUTIONS = ("convolution", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
PRODUCTS = {"mm": (0, 1), "bmm": (0, 1), "matmul": (0, 1), "addmm": (1, 2), "baddbmm": (1, 2), "_int_mm": (0, 1)}
SAME_VALUES = (
    "permute",
    "t",
    "transpose",
    "view",
    "reshape",
    "_to_copy",
    "to",
    "alias",
    "detach",
    "clone",
    "expand",
    "unsqueeze",
    DECODED,
)
PERMUTING = ("permute", "t", "transpose")
PARAMETRIZED = ".parametrizations."  # where torch keeps the parts from which it computes a tensor


@dataclass(frozen=True)
class Call:
    """A site's node in the graph, and the layout of the batch in the node's output.

    The output is stored as `outer` × images × rest. `outer` is 1 for batch-major outputs; it is the number of tokens
    where attention puts tokens first, as nn.MultiheadAttention does.
    """

    site: Site
    node: Node
    outer: int = 1


def find_calls(program: ExportedProgram) -> list[Call]:
    """Return every multiply-accumulate call in execution order; shape and MACs are of the whole batch.

    `divided` reduces them to one image. Names are numbered over all calls, so that they do not depend on which
    operations are chosen as sites.
    """
    owners, names_of = program.graph_signature.inputs_to_parameters, _names(program)
    images = set(program.graph_signature.user_inputs)
    found: list[tuple[str, Call]] = []
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        kind = name_of(node)
        parameter = None
        if kind in CONVOLUTIONS:
            op, parameter = "conv", _parameter(node.args[1], owners)
            weight_shape = node.args[1].meta["val"].shape
            worked = node.args[0] if _transposed(node, kind) else node
            macs = worked.meta["val"].numel() * math.prod(weight_shape[1:])
        elif kind == "linear":
            op, parameter = "linear", _parameter(node.args[1], owners)
            macs = node.meta["val"].numel() * node.args[1].meta["val"].shape[-1]
        elif kind in PRODUCTS:
            left, right = (node.args[position] for position in PRODUCTS[kind])
            parameter = _parameter(right, owners) or _parameter(left, owners)
            weighs = parameter or any(_is_stored_weight(factor, images) for factor in (left, right))
            op = "linear" if weighs else "matmul"
            macs = node.meta["val"].numel() * left.meta["val"].shape[-1]
        else:
            continue
        path = _path(node, (parameter, *names_of.get(parameter, ())) if parameter else (), op)
        site = Site(path, op, tuple(node.meta["val"].shape), int(macs))
        found.append((path, Call(site, node)))
    names = numbered([path for path, _ in found])
    return [replace(call, site=replace(call.site, name=name)) for name, (_, call) in zip(names, found, strict=True)]


def with_real_output(call: Call) -> Call:
    """Return the call at the node that holds its output in real values.

    A product of integers gives an accumulator; its layer's output is what scales and a bias make of that. It is the
    last real result of arithmetic in a chain of casts, changes of layout, and arithmetic with fewer values than the
    product has. The call stays where it is if there is none.
    """
    node, found = call.node, call.node
    while is_stored(call.node.meta["val"].dtype) and len(node.users) == 1:
        (user,) = node.users
        size = node.meta["val"].numel()
        others = [source for source in user.all_input_nodes if source is not node]
        known = name_of(user) in SAME_VALUES or name_of(user) in ARITHMETIC
        if not known or any(other.meta["val"].numel() >= size for other in others):
            break
        if user.meta["val"].numel() != size:
            break
        node = user
        computed = name_of(node) in ARITHMETIC and node.meta["val"].is_floating_point()
        found = node if computed else found
    return replace(call, site=replace(call.site, shape=tuple(found.meta["val"].shape)), node=found)


def _transposed(node: Node, kind: str) -> bool:
    return kind.startswith("conv_transpose") or (kind == "convolution" and bool(node.args[6]))


def _parameter(node: Any, owners: Mapping[str, str]) -> str | None:
    """Return the name of the parameter that `node` reads through layout changes only, or None."""
    while node.op == "call_function" and name_of(node) in SAME_VALUES:
        node = node.args[0]
    return owners.get(node.name) if node.op == "placeholder" else None


def _is_stored_weight(node: Node, images: Collection[str]) -> bool:
    """Return whether a factor is computed from integers that the model stores, and from no image."""
    found = origins([node], through_positions=False)
    return any(is_stored(source.meta["val"].dtype) for source in found) and not any(n.name in images for n in found)


def tensor_key(value: Tensor) -> tuple[Any, ...]:
    """Return a key that is equal for all names of the same tensor."""
    return value.data_ptr(), tuple(value.shape), tuple(value.stride()), value.dtype


def _names(program: ExportedProgram) -> dict[str, tuple[str, ...]]:
    """Return, for each parameter name, all names of the same tensor, which several modules may share."""
    by_tensor: dict[Any, list[str]] = {}
    for name, value in program.state_dict.items():
        if isinstance(value, Tensor):
            by_tensor.setdefault(tensor_key(value), []).append(name)
    return {name: tuple(names) for names in by_tensor.values() for name in names}


def _path(node: Node, weight: Sequence[str], op: str) -> str:
    """Return the module path of a call; `weight` holds all names of its weight, empty for a call without one.

    It is the owner of the weight: if several own it, the one that runs the call, or else the first. A call without a
    weight belongs to the module that runs it.
    """
    owners, runs = [_owner(name) for name in weight], module_of(node)
    if owners:
        return runs if runs in owners else owners[0]
    return ".".join(part for part in (runs, op if op == "matmul" else "") if part) or op


def _owner(name: str) -> str:
    """Return the path of the module that a tensor, or the part of a parametrised one, belongs to; its name for none."""
    module, _, part = f".{name}".partition(PARAMETRIZED)
    return (module.removeprefix(".") if part else name.rpartition(".")[0]) or name


def channel_axis(node: Node) -> int:
    """Return the axis of the channels in a call's output, counted from the end (negative)."""
    weight: Any = node.args[1]
    return 1 - weight.meta["val"].ndim if name_of(node) in CONVOLUTIONS else -1


def output_axis(holders: Sequence[Node]) -> int:
    """Return the axis of a tensor, held by these nodes, along which the outputs of the call that reads it lie.

    It is the first one, as in torch's layers, except for transposed convolutions and a right factor of a product. The
    call may read the tensor's own values, or ones computed from it in the same layout, as by a scale.
    """
    alike = set(holders)
    open_nodes = [user for node in holders for user in node.users]
    while open_nodes:
        user = open_nodes.pop(0)
        kind = name_of(user)
        if kind in CONVOLUTIONS:
            return 1 if _transposed(user, kind) else 0
        if kind in PRODUCTS and user.args[PRODUCTS[kind][1]] in alike:
            return max(holders[0].meta["val"].ndim - 1, 0)
        same = getattr(user.meta.get("val"), "shape", None) == holders[0].meta["val"].shape
        if same and kind not in PERMUTING and user not in alike:
            alike.add(user)
            open_nodes.extend(user.users)
    return 0


def module_of(node: Node) -> str:
    """Return the path of the innermost module that runs an operation; "" for the model itself."""
    stack = list((node.meta.get("nn_module_stack") or {"": ("",)}).values())
    return re.sub(r"@\d+", "", stack[-1][0])  # export appends @1 to the path when a module runs a second time


def divided(call: Call, shares: Shares, batch_size: int) -> Call:
    """Return the call with its site's shape and MACs reduced from the batch to one image."""
    site, node = call.site, call.node
    if node in shares.outers:
        site = replace(site, shape=shares.shapes[node], macs=site.macs // batch_size)
        return Call(site, node, shares.outers[node])
    return replace(call, site=replace(site, per_image=False))
