"""A network as a functional graph of ATen operations whose sites can be watched and struck.

Suffixes: B batch, C classes or channels, H W height and width, N neurons of one image's share.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx.node import Node, map_arg

from tgr_cli.errors import TgrError
from tgr_cli.faults.calls import SHAPE_ONLY, Call, divided, find_calls, possible_outers
from tgr_cli.faults.export import export, inputs_of
from tgr_cli.faults.network import AnyNetwork, Strikes
from tgr_cli.faults.operators import name_of
from tgr_cli.faults.parameters import Parameter, find_parameters
from tgr_cli.faults.sites import OPS, Site

Program = Sequence[tuple[Node, Sequence[Node]]]


class Network(AnyNetwork):
    """A model captured at one batch size; its logits are bitwise the model's own, and it shares the model's weights.

    `sites` are the captured targets in execution order. `graph`, `constants` (values of parameters, buffers and lifted
    constants by node), `calls` and `holders` are what an engine needs that runs a part of it only.
    """

    def __init__(
        self,
        program: ExportedProgram,
        calls: Sequence[Call],
        parameters: Sequence[Parameter],
        input_shape: tuple[int, ...],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.graph = program.graph
        self.input, self.constants = inputs_of(program)
        self.calls = {call.node: call for call in calls}
        self.sites = tuple(call.site for call in calls)
        self.parameter_sites = tuple(parameter.site for parameter in parameters)
        self.parameters = {parameter.site.name: parameter.tensor for parameter in parameters}
        self.holders = {parameter.site.name: parameter.nodes for parameter in parameters}
        self.facts = {}
        self.batch_size, self.input_shape = input_shape[0], input_shape[1:]
        self.device, self.dtype = device, dtype
        outputs: Any = self.graph.output_node().args[0]
        (self.output,) = outputs
        self.num_classes = int(self.output.meta["val"].shape[1])
        self._program = with_deaths([node for node in self.graph.nodes if node.op == "call_function"], {self.output})

    @classmethod
    def capture(
        cls,
        model: nn.Module,
        example_shape_CHW: Sequence[int],
        *,
        batch_size: int,
        targets: Sequence[str] = ("conv", "linear"),
        device: str | torch.device = "cpu",
    ) -> "Network":
        """Return `model`, in evaluation mode and on `device`, as a graph for batches of exactly `batch_size`.

        `targets` are the operations that count as sites: "conv", "linear", and "matmul" for products of activations
        (fused attention is then taken apart, and logits agree with the model's to rounding only). Raises ExportError
        where torch.export cannot trace the model, and TgrError where the output of a site cannot be divided among the
        images.
        """
        for target in targets:
            if target not in OPS:
                raise TgrError(f'"{target}" is no kind of site; choose among {", ".join(OPS)}')
        assert not model.training, "evaluation mode is expected"
        dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
        shape = (batch_size, *example_shape_CHW)
        example = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device, dtype)
        program = export(model, example, decompose_attention="matmul" in targets)
        image, constants = inputs_of(program)
        every_call = find_calls(program, image)
        parameters = find_parameters(program, constants, every_call, batch_size)
        calls = [call for call in every_call if call.site.op in targets]
        if not calls:
            raise TgrError(f"the model has no site among the targets {', '.join(targets)}; choose others")
        if batch_size > 1:
            outers = _find_outers(cls(program, calls, (), shape, example.device, dtype), example)
            calls = [divided(call, outer, batch_size) for call, outer in zip(calls, outers, strict=True)]
        else:  # one image cannot show where the batch lies in an output; two can
            two = cls.capture(model, example_shape_CHW, batch_size=2, targets=targets, device=device)
            calls = [replace(t, node=call.node) for t, call in zip(two.calls.values(), calls, strict=True)]
        return cls(program, calls, parameters, shape, example.device, dtype)

    def forward(
        self,
        x_BCHW: Tensor,
        *,
        strike: Strikes | None = None,
        observe: Callable[[Site, Tensor], None] | None = None,
        parameters: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        strike = strike or {}
        assert strike.keys() <= {site.name for site in self.sites}, strike.keys()

        def touch(call: Call, value: Tensor) -> Tensor:
            if call.site.name in strike:
                value = self.struck(call, value, strike[call.site.name])
            if observe is not None:
                observe(call.site, self.shares(call, value))
            return value

        return self.run(x_BCHW, touch if strike or observe else None, self.standing(parameters or {}))

    def standing(self, parameters: Mapping[str, Tensor]) -> dict[Node, Tensor]:
        """Return tensors given by the names of parameters by the nodes that stand for them."""
        return {node: tensor for name, tensor in parameters.items() for node in self.holders[name]}

    def run(
        self,
        x_BCHW: Tensor,
        touch: Callable[[Call, Tensor], Tensor] | None = None,
        constants: Mapping[Node, Tensor] | None = None,
    ) -> Tensor:
        """Return the logits [B, C]; `touch` takes each site's call and whole output, and returns what stands for it.

        `constants` are used in place of the network's own.
        """
        assert x_BCHW.shape == (self.batch_size, *self.input_shape), x_BCHW.shape
        values = {**self.constants, **(constants or {}), self.input: x_BCHW.to(self.device, self.dtype)}

        def look(node: Node, value: Any) -> Any:
            return touch(self.calls[node], value) if touch is not None and node in self.calls else value

        evaluate(self._program, values, look if touch is not None else None)
        return values[self.output]

    def downstream(self, sources: Iterable[Node]) -> set[Node]:
        """Return the nodes whose values depend on any of `sources`, these included."""
        found = set(sources)
        for node in self.graph.nodes:
            reads = node.op == "call_function" and name_of(node) not in SHAPE_ONLY
            if reads and not found.isdisjoint(node.all_input_nodes):
                found.add(node)
        return found

    def shares(self, call: Call, value: Tensor) -> Tensor:
        """Return a site's output as [B, N], a row an image's share ([1, N] where the site is not per image)."""
        if not call.site.per_image:
            return value.reshape(1, -1)
        batch_size = value.numel() // call.site.neurons
        return value.reshape(call.outer, batch_size, -1).transpose(0, 1).reshape(batch_size, -1)

    def struck(self, call: Call, value: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        rows_RN = function(self.shares(call, value))
        new = rows_RN.reshape(len(rows_RN), call.outer, -1).transpose(0, 1).reshape(value.shape)
        # The strides of the output choose the kernels that follow: the faulty run must have the golden one's.
        return new if new.stride() == value.stride() else torch.empty_like(value).copy_(new)


def with_deaths(nodes: Sequence[Node], keep: Collection[Node]) -> Program:
    """Return these operations, each with the nodes whose values nothing after it needs, but for those in `keep`."""
    last: dict[Node, Node] = {}
    for node in nodes:
        last[node] = node  # a value that nobody uses dies at once
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
) -> dict[Node, Any]:
    """Run the operations on `values` and return it: results come in, values that are needed no more go out.

    `touch` takes each operation's node and result, and returns what stands for the result. `sizes` are second
    arguments of some operations, to be used instead of the graph's own. Nothing is recorded for a backward pass unless
    `gradients` are asked for.
    """
    with torch.enable_grad() if gradients else torch.inference_mode():
        for node, dead in program:
            args, kwargs = map_arg((node.args, node.kwargs), values.__getitem__)
            if sizes and node in sizes:
                args = (args[0], sizes[node], *args[2:])
            result = node.target(*args, **kwargs)  # type: ignore[operator]
            values[node] = result if touch is None else touch(node, result)
            for name in dead:
                del values[name]
    return values


def taint(x_BCHW: Tensor) -> Tensor:
    """Return the images with the last one made NaN, so that what depends on it can be told from the rest."""
    tainted = x_BCHW.clone()
    tainted[-1] = math.nan
    return tainted


def find_outer(value: Tensor, batch_size: int) -> int | None:
    """Return `Call.outer` of a value computed from tainted images; None where it cannot be divided into shares.

    Of the right division, exactly the last image's share holds NaN.
    """
    if not value.is_floating_point():
        return None
    nan = value.isnan()
    for outer in possible_outers(tuple(value.shape), batch_size):
        nan_B = nan.reshape(outer, batch_size, -1).any(dim=2).any(dim=0)
        if nan_B[-1] and not nan_B[:-1].any():
            return outer
    return None


def _find_outers(network: Network, example: Tensor) -> list[int]:
    """Return `Call.outer` of each site, seen by experiment.

    Raises TgrError for a site that cannot be divided into a share for each image.
    """
    outers: list[int] = []

    def look(call: Call, value: Tensor) -> Tensor:
        outer = find_outer(value, network.batch_size) if call.site.per_image else 1
        if outer is None:
            raise TgrError(
                f'the output of site "{call.site.name}", of shape {tuple(value.shape)} for {network.batch_size} '
                f'images, cannot be divided into a share for each image; leave "{call.site.op}" out of the targets'
            )
        outers.append(outer)
        return value

    network.run(taint(example), look)
    return outers
