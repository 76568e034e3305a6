"""Locates the batch axis in every value of a graph: which part of a value is one image's share.

Two experiments are used. First, the last image is replaced by NaN: values that depend on it show NaN exactly in its
share. This says nothing about values that depend on no image, such as a class token expanded over the batch. If the
location is needed for one of these, the model is captured at another batch size too: the batch axis is the one that
scales with it.

Suffixes: B batch, C channels, H W height and width.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Graph
from torch.fx.node import Node

from tgr_cli.errors import TgrError
from tgr_cli.faults.export import ExportError, inputs_of
from tgr_cli.faults.operation_names import ARITHMETIC, POINTWISE, name_of
from tgr_cli.faults.program import Program, downstream, evaluate, with_deaths

# Their integer arguments are axes, strides or positions, never the size of an output axis.
UNSIZED = (
    *(*POINTWISE, *ARITHMETIC, "permute", "transpose", "unsqueeze", "squeeze", "select", "getitem", "softmax", "t"),
    *("conv2d", "linear", "matmul", "mm", "bmm", "layer_norm", "clone", "alias", "detach", "_to_copy", "dropout"),
)

COPIES, VIEWS = ("clone", "contiguous", "alias"), ("view", "_unsafe_view", "reshape")


@dataclass(frozen=True)
class Shares:
    """The layout of the batch in the values of a graph.

    A divided value is stored as `outers` × images × rest; `shapes` is the shape of one image's share. `dependent`
    values depend on the images or have a batch axis. `mixed` values do too, but cannot be divided among the images. If
    `complete`, every other value is known not to change with the batch.
    """

    outers: Mapping[Node, int]
    shapes: Mapping[Node, tuple[int, ...]]
    dependent: Set[Node]
    mixed: Set[Node]
    complete: bool

    def moved(self, to: Mapping[Node, Node], graph: Graph) -> "Shares":
        """Return the same layout for the nodes of another graph of the model; `to` maps nodes of this one to it."""
        dependent = {to[node] for node in self.dependent & to.keys()}
        return Shares(
            {to[node]: outer for node, outer in self.outers.items() if node in to},
            {to[node]: shape for node, shape in self.shapes.items() if node in to},
            downstream(graph.nodes, dependent),
            {to[node] for node in self.mixed & to.keys()},
            self.complete,
        )


def find_shares(
    export: Callable[[int], ExportedProgram],
    program: ExportedProgram,
    example: Callable[[int], Tensor],
    batch_size: int,
    wanted: Collection[Node],
) -> Shares:
    """Return how the values of `program`, captured for `batch_size` images, are divided among the images.

    `export` captures the model at another batch size. It takes as long as the first capture did, so it is called only
    if a value in `wanted` needs it. `example` returns a batch of random images. Raises ExportError where the model's
    operations change with the batch size.
    """
    if batch_size == 1:  # the batch axis is ambiguous at size 1; locate it with 2
        two = export(2)
        counterpart = _counterparts(two, program)
        wanted_two = [node for node, own in counterpart.items() if own in wanted]
        axes = _axes(two, counterpart, 2, 1)
        return _experiment(two, example(2), wanted=wanted_two, axes=axes).moved(counterpart, program.graph)
    found = _experiment(program, example(batch_size))
    left = set(wanted) - found.outers.keys() - found.mixed
    if not _once_an_image(left, batch_size) and not any(
        _may_hold_batch(node, found.dependent, batch_size) for node in left
    ):
        return found
    larger = _counterparts(program, export(batch_size + 1))
    axes = _axes(program, larger, batch_size, batch_size + 1)
    return _experiment(program, example(batch_size), wanted=wanted, axes=axes)


def possible_outers(shape: Sequence[int], batch_size: int, axis: int | None = None) -> Iterator[int]:
    """Yield every `outer` for which the batch fits within one axis (`axis`, or any), batch-major first."""
    for place in range(len(shape)) if axis is None else (axis,):
        for factor in range(1, shape[place] // batch_size + 1):
            if shape[place] % (factor * batch_size) == 0:
                yield math.prod(shape[:place]) * factor


def names_batch(node: Node, batch_size: int) -> bool:
    """Return whether an argument of an operation, or a list's length, is a multiple of the batch size.

    It may then be derived from the batch size. The same applies to the axes of constants that the model's code creates
    while it is traced.
    """
    if node.op == "placeholder" and node.name.startswith("c_"):
        return any(size % batch_size == 0 for shape in shapes_of(node) for size in shape)
    if node.op != "call_function" or name_of(node) in UNSIZED:
        return False

    def numbers(argument: Any) -> Iterator[int]:
        if isinstance(argument, (list, tuple)):
            yield len(argument)
            for one in argument:
                yield from numbers(one)
        elif isinstance(argument, int) and not isinstance(argument, bool):
            yield argument

    arguments = (*node.args, *node.kwargs.values())
    return any(number > 0 and number % batch_size == 0 for argument in arguments for number in numbers(argument))


def _may_hold_batch(node: Node, dependent: Collection[Node], batch_size: int) -> bool:
    """Return whether a value may have a batch axis, judged from one capture."""
    open_nodes, seen = [node], set[Node]()
    while open_nodes:
        node = open_nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        reads = node.all_input_nodes
        if node in dependent or names_batch(node, batch_size) or any(source in dependent for source in reads):
            return True
        open_nodes.extend(reads)
    return False


def _once_an_image(nodes: Collection[Node], batch_size: int) -> bool:
    """Return whether the model may loop over the batch: the same operation runs a multiple of `batch_size` times."""
    runs = Counter(
        (node.target, *(source for source in node.all_input_nodes if source.op == "placeholder")) for node in nodes
    )
    return any(count % batch_size == 0 for count in runs.values())


def _counterparts(program: ExportedProgram, other: ExportedProgram) -> dict[Node, Node]:
    """Return, for each node of `program`, the corresponding node of another capture of the same model.

    Copies are skipped, since whether a view needs one may depend on the batch size. Raises ExportError where the two
    captures run different operations.
    """
    ours, theirs = ([node for node in p.graph.nodes if name_of(node) not in COPIES] for p in (program, other))
    if list(map(_what, ours)) != list(map(_what, theirs)):
        raise ExportError("the operations of the model change with the number of images in a batch")
    return dict(zip(ours, theirs, strict=True))


def _what(node: Node) -> object:
    return (node.op, "view" if name_of(node) in VIEWS else node.target)


def _axes(
    program: ExportedProgram, counterpart: Mapping[Node, Node], size: int, other_size: int
) -> dict[Node, int | None]:
    """Return the batch axis of each value of `program` whose shape changes with the batch size.

    It is the one axis whose size is proportional to the batch size in both captures; None where there is no such axis
    or several.
    """
    axes: dict[Node, int | None] = {}
    for node in program.graph.nodes:
        if node not in counterpart:  # a copy
            (source,) = node.all_input_nodes
            if source in axes:
                axes[node] = axes[source]
            continue
        ours, theirs = shapes_of(node), shapes_of(counterpart[node])
        if ours == theirs:
            continue
        axes[node] = None
        if len(ours) == len(theirs) == 1 and len(ours[0]) == len(theirs[0]):
            pairs = list(enumerate(zip(ours[0], theirs[0], strict=True)))
            follow = [axis for axis, (one, two) in pairs if one != two]
            (axis, (one, two)), *others = [pairs[axis] for axis in follow]
            if not others and one % size == 0 and one // size * other_size == two:
                axes[node] = axis
    return axes


def shapes_of(node: Node) -> list[tuple[int, ...]]:
    value = node.meta.get("val")
    values = value if isinstance(value, (list, tuple)) else [value]
    return [tuple(one.shape) for one in values if isinstance(one, Tensor)]


def _experiment(
    program: ExportedProgram,
    x_BCHW: Tensor,
    *,
    wanted: Collection[Node] = (),
    axes: Mapping[Node, int | None] | None = None,
) -> Shares:
    """Return the shares found by replacing the last image by NaN; with `axes`, restricted to these axes.

    A value with a batch axis but without NaN (a token, say) gets NaN in its last share, so that whatever is computed
    from it shows the share too. If the batch is interleaved with something else within its axis, the correct division
    is the one for which NaN does not reach the logits of any other image.
    """
    image, constants = inputs_of(program)
    (output,) = program.graph.output_node().all_input_nodes
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    steps, batch_size = with_deaths(nodes, {output}), len(x_BCHW)
    dependent = downstream(program.graph.nodes, {image}, axes or ())
    number = {node: place for place, (node, _) in enumerate(steps)}
    outers: dict[Node, int] = {image: 1}
    mixed: set[Node] = set()
    values: dict[Node, Any] = {**constants, image: _marked(x_BCHW, 1, batch_size)}

    def look(node: Node, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        nan = value.isnan()
        shown = int(nan.count_nonzero())
        if axes is not None and axes.get(node) is None:
            if shown or node in axes:
                mixed.add(node)
            return value
        candidates = list(possible_outers(value.shape, batch_size, None if axes is None else axes[node]))
        if shown:
            fitting = [outer for outer in candidates if _all_in_last(nan, shown, outer, batch_size)]
            if fitting and (len(fitting) == 1 or axes is not None):
                outers[node] = fitting[0]
            elif not fitting:
                mixed.add(node)
            return value
        if axes is None:
            return value
        born = not any(source in dependent for source in node.all_input_nodes)
        if len(candidates) > 1 and (born or node in wanted) and _holds_nan(value):
            later = steps[number[node] + 1 :]
            candidates = [
                outer
                for outer in candidates
                if _apart(later, {**values, node: _marked(value, outer, batch_size)}, output)
            ][:1]
        if len(candidates) != 1:
            mixed.add(node)
            return value
        (outers[node],) = candidates
        return _marked(value, outers[node], batch_size) if _holds_nan(value) else value

    evaluate(steps, values, look)
    shapes = {node: _share_shape(node, outer, batch_size, axes) for node, outer in outers.items()}
    return Shares(outers, shapes, dependent, mixed, complete=axes is not None)


def _holds_nan(value: Tensor) -> bool:
    return value.is_floating_point() or value.is_complex()


def _marked(value: Tensor, outer: int, batch_size: int) -> Tensor:
    """Return the value with the last image's share set to NaN."""
    share = torch.zeros(value.shape, dtype=torch.bool, device=value.device)
    share.view(outer, batch_size, -1)[:, -1] = True
    return value.masked_fill(share, math.nan)


def _all_in_last(nan: Tensor, shown: int, outer: int, batch_size: int) -> bool:
    """Return whether all NaN of a value, `shown` in number, are in the last image's share."""
    return int(nan.reshape(outer, batch_size, -1)[:, -1].count_nonzero()) == shown


def _apart(later: Program, values: dict[Node, Any], output: Node) -> bool:
    """Return whether NaN in these values reaches the logits of the last image at most."""
    logits_BC: Tensor = evaluate(later, values)[output]
    return not logits_BC[:-1].isnan().any()


def _share_shape(node: Node, outer: int, batch_size: int, axes: Mapping[Node, int | None] | None) -> tuple[int, ...]:
    """Return the shape of one image's share: the value's shape without the batch factor of its batch axis."""
    shape = list(node.meta["val"].shape)
    axis = axes.get(node) if axes is not None else None
    if axis is None:
        axis = next(place for place in range(len(shape)) if outer in possible_outers(shape, batch_size, place))
    shape[axis : axis + 1] = [shape[axis] // batch_size] if shape[axis] > batch_size else []
    return tuple(shape)


def refused(what: str, shape: Sequence[int], batch_size: int, way_out: str) -> TgrError:
    return TgrError(
        f"{what}, of shape {tuple(shape)} for {batch_size} images, cannot be divided into a share for each image; "
        f"{way_out}"
    )
