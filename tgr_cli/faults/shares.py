"""Where the images lie in the values of a graph: which part of each value is one image's share.

Two experiments tell. Values are computed with the last image NaN: what depends on it shows where its share is. That
says nothing of a value that depends on no image, such as a learned token expanded over the batch. Where one of these
matters, the model is captured at another batch size as well: the axis whose size follows the batch holds the images.

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
from torch.fx.node import Node

from tgr_cli.errors import TgrError
from tgr_cli.faults.export import ExportError, inputs_of
from tgr_cli.faults.operators import ARITHMETIC, POINTWISE, name_of
from tgr_cli.faults.program import Program, downstream, evaluate, with_deaths

# Their integer arguments are axes, strides or places, never the size of an axis of the result.
UNSIZED = (
    *(*POINTWISE, *ARITHMETIC, "permute", "transpose", "unsqueeze", "squeeze", "select", "getitem", "softmax", "t"),
    *("conv2d", "linear", "matmul", "mm", "bmm", "layer_norm", "clone", "alias", "detach", "_to_copy", "dropout"),
)

COPIES, VIEWS = ("clone", "contiguous", "alias"), ("view", "_unsafe_view", "reshape")


@dataclass(frozen=True)
class Shares:
    """How the values of a graph are divided among the images.

    A divided value, as stored, is `outers` × images × the rest, and `shapes` is the shape of one image's share.
    `dependent` values depend on the images, or hold a row for each. `mixed` values do so too, but belong to no image
    alone. Where `complete`, every other value is known to be the same whatever the batch.
    """

    outers: Mapping[Node, int]
    shapes: Mapping[Node, tuple[int, ...]]
    dependent: Set[Node]
    mixed: Set[Node]
    complete: bool

    def moved(self, to: Mapping[Node, Node], program: ExportedProgram) -> "Shares":
        """Return the same for the nodes of another capture, `program`, given by those nodes of this one it has."""
        dependent = {to[node] for node in self.dependent & to.keys()}
        return Shares(
            {to[node]: outer for node, outer in self.outers.items() if node in to},
            {to[node]: shape for node, shape in self.shapes.items() if node in to},
            downstream(program.graph.nodes, dependent),
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
    """Return how the values of `program`, captured for `batch_size` images, are divided among them.

    `export` captures the model at another batch size, which takes as long as the first capture did: it is called where
    the division of a value among `wanted` depends on it. `example` gives so many random images. Raises ExportError
    where the model's operations change with the batch size.
    """
    if batch_size == 1:  # one image cannot show where the batch lies; two can
        two = export(2)
        counterpart = _counterparts(two, program)
        wanted_two = [node for node, own in counterpart.items() if own in wanted]
        axes = _axes(two, counterpart, 2, 1)
        return _experiment(two, example(2), wanted=wanted_two, axes=axes).moved(counterpart, program)
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
    """Give every `outer` with which the images lie within one axis (any, or this one), batch-major first."""
    for place in range(len(shape)) if axis is None else (axis,):
        for factor in range(1, shape[place] // batch_size + 1):
            if shape[place] % (factor * batch_size) == 0:
                yield math.prod(shape[:place]) * factor


def names_batch(node: Node, batch_size: int) -> bool:
    """Return whether an operation is given a number, or a number of values, that could be the size of the batch.

    So could an axis of a constant that the model's code makes when it is traced.
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
    """Return whether a value could hold a row for each image, as far as one capture shows."""
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
    """Return whether the code may loop over its images: an operation runs as often, with the same parameters."""
    runs = Counter(
        (node.target, *(source for source in node.all_input_nodes if source.op == "placeholder")) for node in nodes
    )
    return any(count % batch_size == 0 for count in runs.values())


def _counterparts(program: ExportedProgram, other: ExportedProgram) -> dict[Node, Node]:
    """Return the node of another capture of the same model for each node of `program`.

    What only copies a value is left out: whether a view needs a copy may depend on the batch size. Raises ExportError
    where the two do not run the same operations.
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
    """Return the axis that holds the images, for each value of `program` that does hold them.

    It is the axis whose size is a multiple of the batch size in both captures; None where there is no such axis, or
    several, though the value's size changes with the batch.
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
    """Return the shares that NaN in place of the last image shows; with `axes`, in these axes only.

    A value that holds the images and shows no NaN has its last share made NaN: so whatever is computed from a token
    shows where it went. Of a value in whose axis the images share the place with something else, the right division is
    the one that leaves the logits of all other images alone.
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
        shown = bool(nan.any())
        if axes is not None and axes.get(node) is None:
            if shown or node in axes:
                mixed.add(node)
            return value
        candidates = list(possible_outers(value.shape, batch_size, None if axes is None else axes[node]))
        if shown:
            fitting = [outer for outer in candidates if _last_alone(nan, outer, batch_size)]
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
    """Return the value with the last image's share made NaN."""
    share = torch.zeros(value.shape, dtype=torch.bool, device=value.device)
    share.view(outer, batch_size, -1)[:, -1] = True
    return value.masked_fill(share, math.nan)


def _last_alone(nan: Tensor, outer: int, batch_size: int) -> bool:
    """Return whether NaN lies in the last image's share and in no other."""
    nan_B = nan.reshape(outer, batch_size, -1).any(dim=2).any(dim=0)
    return bool(nan_B[-1] and not nan_B[:-1].any())


def _apart(later: Program, values: dict[Node, Any], output: Node) -> bool:
    """Return whether NaN in these values reaches no logits but the last image's."""
    logits_BC: Tensor = evaluate(later, values)[output]
    return not logits_BC[:-1].isnan().any()


def _share_shape(node: Node, outer: int, batch_size: int, axes: Mapping[Node, int | None] | None) -> tuple[int, ...]:
    """Return the shape of one image's share: without the axis that holds the images, or with what else it holds."""
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
