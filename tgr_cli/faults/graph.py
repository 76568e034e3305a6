"""A network as a functional graph of ATen operations, whose sites can be observed and injected into.

Suffixes: B batch, C classes or channels, H W height and width, N neurons of one image's share.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Graph
from torch.fx.node import Node

from tgr_cli.errors import TgrError
from tgr_cli.faults.deployment import Deployment, RoundedOperation
from tgr_cli.faults.export import export, inputs_of
from tgr_cli.faults.formats.stored import is_stored
from tgr_cli.faults.graph_sites import Call, channel_axis, divided, find_calls, module_of, output_axis, with_real_output
from tgr_cli.faults.network import AnyNetwork, Replacements
from tgr_cli.faults.operation_names import JUMPING, ROUNDED, ROUNDING, name_of
from tgr_cli.faults.option_names import refuse_unknown_targets
from tgr_cli.faults.program import ancestors, downstream, evaluate, with_deaths
from tgr_cli.faults.second_computations import round_second_computations
from tgr_cli.faults.shares import Shares, find_shares
from tgr_cli.faults.sites import Site
from tgr_cli.faults.tensor_sites import TensorSite, find_parameters
from tgr_cli.guards.guard import guards_of


class Network(AnyNetwork):
    """A model captured at one batch size; logits are bitwise the model's own, and weights are shared with it.

    `sites` are the captured targets in execution order. An engine that runs only part of the graph uses `graph`,
    `constants` (values of parameters, buffers and lifted constants, by node), `division` (layout of the batch in each
    value), `calls` (by node) and `holders` (nodes of each parameter).
    """

    def __init__(
        self,
        program: ExportedProgram,
        calls: Sequence[Call],
        parameters: Sequence[TensorSite],
        shares: Shares,
        input_shape: tuple[int, ...],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.graph = program.graph
        self.input, self.constants = inputs_of(program)
        self.division = shares
        self.calls = {call.node: call for call in calls}
        self.sites = tuple(call.site for call in calls)
        self.parameter_sites = tuple(parameter.site for parameter in parameters)
        self.parameters = {parameter.site.name: parameter.tensor for parameter in parameters}
        self.holders = {parameter.site.name: parameter.nodes for parameter in parameters}
        self.facts = {}
        self.rounding = _rounding(program.graph, shares)
        self.jumps = _jumps(program.graph, shares, dtype)
        self.batch_size, self.input_shape = input_shape[0], input_shape[1:]
        self.device, self.dtype = device, dtype
        self._channel_axes = {call.site.name: channel_axis(call.node) for call in calls}
        self._output_axes = {name: output_axis(nodes) for name, nodes in self.holders.items()}
        self._order()
        self.num_classes = int(self.output.meta["val"].shape[1])

    def _order(self) -> None:
        """Read the order of execution off the graph."""
        outputs: Any = self.graph.output_node().args[0]
        (self.output,) = outputs
        self.program = with_deaths([node for node in self.graph.nodes if node.op == "call_function"], {self.output})

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

        `targets` are the operations that count as sites: "conv", "linear", and "matmul" for products of activations.
        With "matmul" fused attention is decomposed, and logits agree with the model's up to rounding only. Raises
        ExportError where torch.export cannot trace the model, and TgrError where the batch axis of the logits or of a
        site's output cannot be located, or a site computes in another format than the model.
        """
        refuse_unknown_targets(targets)
        assert not model.training, "evaluation mode is expected"
        dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
        device = torch.device(device)

        def example(size: int) -> Tensor:
            shape, generator = (size, *example_shape_CHW), torch.Generator().manual_seed(0)
            return torch.rand(shape, generator=generator).to(device, dtype)

        def captured(size: int) -> ExportedProgram:
            return export(model, example(size), decompose_attention="matmul" in targets)

        program = captured(batch_size)
        every_call = find_calls(program)
        outputs = [with_real_output(call) for call in every_call]
        wanted = {call.node for call in (*every_call, *outputs)} | set(program.graph.output_node().all_input_nodes)
        shares = find_shares(captured, program, example, batch_size, wanted)
        every_call = [divided(call, shares, batch_size) for call in every_call]
        outputs = [divided(call, shares, batch_size) for call in outputs]
        calls = [call for call in outputs if call.site.op in targets and not is_stored(call.node.meta["val"].dtype)]
        if not calls:
            raise TgrError(f"the model has no site among the targets {', '.join(targets)}; choose others")
        _check(program, calls, shares, batch_size, dtype)
        parameters = find_parameters(program, inputs_of(program)[1], every_call)
        network = cls(program, calls, parameters, shares, (batch_size, *example_shape_CHW), device, dtype)
        network.guarded = bool(guards_of(model))
        return network

    def deployed(self, deployment: Deployment) -> "Network":
        assert self.deployment is None, "deploy the model as it is"
        network = copy.copy(self)
        network.deployment = deployment
        network.graph, to = _copied(self.graph)
        network.calls = {to[node]: replace(call, node=to[node]) for node, call in self.calls.items()}
        for call in network.calls.values() if network.rounds else ():
            kind, rounding = name_of(call.node), network._rounding(call, deployment)
            call.node.target = RoundedOperation(call.node.target, f"{ROUNDED}{kind}", rounding)  # type: ignore[arg-type]
        round_second_computations(network.graph, deployment)
        rounded = deployment.weights(self.parameters)
        network.parameters = {**self.parameters, **rounded}
        network.input = to[self.input]
        network.holders = {name: tuple(to[node] for node in nodes) for name, nodes in self.holders.items()}
        network.constants = {to[node]: value for node, value in self.constants.items()} | network.standing(rounded)
        network.division = self.division.moved(to, network.graph)
        network._order()
        return network

    def _rounding(self, call: Call, deployment: Deployment) -> Callable[[Tensor], Tensor]:
        """Return the function that rounds a site's whole output."""
        assert deployment.form is not None
        rounded = partial(deployment.output, call.site, self.channel_axis(call.site.name))
        return (lambda value: self.struck(call, value, rounded)) if deployment.form.dynamic else rounded

    def channel_axis(self, site: str) -> int:
        return self._channel_axes[site]

    def output_axis(self, name: str) -> int:
        return self._output_axes[name]

    def forward(
        self,
        x_BCHW: Tensor,
        *,
        strike: Replacements | None = None,
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
        """Return the given tensors by the graph nodes that hold them, instead of by parameter name."""
        return {node: tensor for name, tensor in parameters.items() for node in self.holders[name]}

    def run(
        self,
        x_BCHW: Tensor,
        touch: Callable[[Call, Tensor], Tensor] | None = None,
        constants: Mapping[Node, Tensor] | None = None,
    ) -> Tensor:
        """Return the logits [B, C].

        `touch` is called with each site and its whole output, and returns the value to go on with. `constants` override
        the network's own.
        """
        assert x_BCHW.shape == (self.batch_size, *self.input_shape), x_BCHW.shape
        values = {**self.constants, **(constants or {}), self.input: x_BCHW.to(self.device, self.dtype)}

        def look(node: Node, value: Any) -> Any:
            return touch(self.calls[node], value) if touch is not None and node in self.calls else value

        evaluate(self.program, values, look if touch is not None else None)
        return values[self.output]

    def downstream(self, sources: Iterable[Node]) -> set[Node]:
        """Return `sources` and all nodes whose values depend on one of them."""
        return downstream(self.graph.nodes, sources)

    def shares(self, call: Call, value: Tensor) -> Tensor:
        """Return a site's output as [B, N], one row per image ([1, N] where the site is not per image)."""
        if not call.site.per_image:
            return value.reshape(1, -1)
        batch_size = value.numel() // call.site.neurons
        return value.reshape(call.outer, batch_size, -1).transpose(0, 1).reshape(batch_size, -1)

    def struck(self, call: Call, value: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        rows_RN = function(self.shares(call, value))
        new = rows_RN.reshape(len(rows_RN), call.outer, -1).transpose(0, 1).reshape(value.shape)
        # Strides select the kernels of later operations: keep those of the golden run.
        return new if new.stride() == value.stride() else torch.empty_like(value).copy_(new)


def _rounding(graph: Graph, shares: Shares) -> tuple[str, ...]:
    """Return the names of operations that round values computed from the images, in order of first use."""
    names = [name_of(node) for node in graph.nodes if node in shares.dependent and _rounds(node)]
    return tuple(dict.fromkeys(names))


def _jumps(graph: Graph, shares: Shares, dtype: torch.dtype) -> tuple[str, ...]:
    """Return the operations that jump, and the dtypes less precise than `dtype`, of values computed from the images."""
    nodes = [node for node in graph.nodes if node in shares.dependent]
    values = [node.meta.get("val") for node in nodes]
    dtypes = [value.dtype for value in values if isinstance(value, Tensor) and value.is_floating_point()]
    coarser = [str(other) for other in dtypes if torch.finfo(other).eps > torch.finfo(dtype).eps]
    return tuple(dict.fromkeys((*(name for name in map(name_of, nodes) if name in JUMPING), *coarser)))


def _rounds(node: Node) -> bool:
    """Return whether an operation rounds: by its name, or a cast of real values to integers."""
    value, given = node.meta.get("val"), [source.meta.get("val") for source in node.all_input_nodes[:1]]
    cast = name_of(node) == "_to_copy" and isinstance(value, Tensor) and is_stored(value.dtype)
    if node.kwargs.get("rounding_mode") is not None:  # of a division
        return True
    return name_of(node) in ROUNDING or (cast and isinstance(given[0], Tensor) and given[0].is_floating_point())


def _copied(graph: Graph) -> tuple[Graph, dict[Node, Node]]:
    """Return a copy of a graph, and the node of the copy for each of its nodes."""
    copied, to = Graph(), dict[Node, Node]()
    copied.output(copied.graph_copy(graph, to))
    return copied, to


def _check(program: ExportedProgram, calls: Sequence[Call], shares: Shares, size: int, dtype: torch.dtype) -> None:
    """Raise TgrError where the logits or a site's output have no batch axis, or a site is in another format.

    The logits are checked first: if they depend on several images, no choice of sites helps.
    """
    (output,) = program.graph.output_node().all_input_nodes
    if output not in shares.outers:
        raise TgrError(
            f"the logits of one image depend on the other images of its batch{_where_mixed(program, output, shares)}, "
            "so faults of one batch would affect one another; use a model that treats each image on its own"
        )
    for call in calls:
        value, site = call.node.meta["val"], call.site
        if call.node in shares.mixed:
            raise TgrError(
                f'the output of site "{site.name}", of shape {tuple(value.shape)} for {max(size, 2)} images, cannot be '
                f'divided into a share for each image; leave "{site.op}" out of the targets'
            )
        if value.dtype != dtype:
            raise TgrError(
                f'the output of site "{site.name}" is {value.dtype} and the model {dtype}, and faults are drawn among '
                f'the bits of one format; convert the model to one, or leave "{site.op}" out of the targets'
            )


def _where_mixed(program: ExportedProgram, output: Node, shares: Shares) -> str:
    """Return a description of the first operation that mixes images on the way to the logits; "" if unknown."""
    mixed = shares.mixed & {output, *ancestors([output])}
    first = next((n for n in program.graph.nodes if n in mixed and mixed.isdisjoint(n.all_input_nodes)), None)
    if first is None:
        return ""
    if name_of(first) == "getitem":  # one of several results of an operation
        (first,) = first.all_input_nodes
    name, where = name_of(first).strip("_"), f' in "{module_of(first)}"' if module_of(first) else ""
    if "batch_norm" in name:  # ATen has several, by what they are given
        return f" (the first to mix them is a batch norm{where}, which takes its statistics from the batch)"
    return f" (the first to mix them is {name}{where})"
