"""The elementwise operations after a site, through which a change of one neuron is propagated exactly."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.fx.node import Node

from tgr_cli.faults.integer_gradients import is_integer
from tgr_cli.faults.operation_names import ARITHMETIC, BATCH_NORM, POINTWISE, ROUND, name_of

AFFINE = (
    *(BATCH_NORM, "getitem", *ARITHMETIC, "dropout", "clone", "alias", "_to_copy"),
    *("view", "_unsafe_view", "reshape"),
)
CURVES = (*POINTWISE, "softplus", "mish", "clamp_min")
DEQUANTIZE = "dequantize_per_tensor"
AROUND_ROUNDING = (*CURVES, *ARITHMETIC, *ROUND, "_to_copy", "quantize_per_tensor", DEQUANTIZE)


@dataclass(frozen=True)
class Route:
    """The operations after a site that act elementwise on its neurons: affine up to `inner`, then `curves`, if any.

    These are an activation function, and the quantiser after it. If a max pool follows, `pool` is its node; `joined`
    is the concatenation between the two, if any.
    """

    inner: Node
    curves: tuple[Node, ...]
    joined: Node | None = None
    pool: Node | None = None

    @property
    def end(self) -> Node:
        return self.curves[-1] if self.curves else self.inner

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(node for node in (self.inner, self.end, self.joined, self.pool) if node is not None)


def route_from(start: Node, dependent: Collection[Node]) -> Route:
    """Return the longest chain of elementwise operations from a site on, each the only reader of the one before.

    A multiplication by a value that depends on the images (one of `dependent`) ends the chain.
    """
    inner = node = start
    while len(node.users) == 1:
        (user,) = node.users
        name, value = name_of(user), user.meta.get("val")
        if name == BATCH_NORM:
            value = value[0]  # type: ignore[index]
        same = isinstance(value, Tensor) and value.numel() == start.meta["val"].numel()
        if name in CURVES and same and user.all_input_nodes == [node]:
            curves = (user, *_quantiser(user))
            return Route(inner, curves, *_pooled(curves[-1]))
        factors = [other for other in user.all_input_nodes if other is not node] if name in ("mul", "div") else []
        if not same or is_integer(user) or name not in AFFINE or any(other in dependent for other in factors):
            break
        if name == "div" and user.args[0] is not node:
            break
        node = user
        inner = inner if name == BATCH_NORM else node
    curves = _quantiser(inner)
    return Route(inner, curves, *_pooled(curves[-1] if curves else inner))


def _quantiser(node: Node) -> tuple[Node, ...]:
    """Return the elementwise operations after `node`, each the only reader of the one before, that round its values.

    They are empty if none of them rounds, and end with the rounded values, scaled or held to a range.
    """
    found, end = list[Node](), 0
    while len(node.users) == 1:
        (user,) = node.users
        name, value = name_of(user), user.meta.get("val")
        same = isinstance(value, Tensor) and value.numel() == node.meta["val"].numel()
        if not same or name not in AROUND_ROUNDING or user.all_input_nodes != [node] or user.args[0] is not node:
            break
        found.append(user)
        rounds = name in ROUND or is_integer(user)
        end = len(found) if rounds or (end and name in (DEQUANTIZE, "clamp")) else end
        node = user
    return tuple(found[:end])


def _pooled(end: Node) -> tuple[Node | None, Node | None]:
    """Return the concatenation after `end` and the max pool that reads it; None for whichever does not exist."""
    for user in end.users:
        if name_of(user) == "max_pool2d" and window_of(user)[3] in (1, [1], [1, 1]):
            return None, user
    for user in end.users:
        pool = _pooled(user)[1] if name_of(user) == "cat" else None
        if pool is not None:
            return user, pool
    return None, None


def window_of(pool: Node) -> tuple[Any, ...]:
    """Return kernel size, stride, padding, dilation and ceil_mode of a max_pool2d call."""
    _, kernel, *given = pool.args
    return (kernel, *given, *([], 0, 1, False)[len(given) :])


def composed(curves: Sequence[Node]) -> Callable[[Tensor], Tensor] | None:
    if not curves:
        return None

    def function(x: Tensor) -> Tensor:
        for curve in curves:
            x = curve.target(x, *curve.args[1:], **curve.kwargs)  # type: ignore[operator]
        return x if x.is_floating_point() else x.float()

    return function
