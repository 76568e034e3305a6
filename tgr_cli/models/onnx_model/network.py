"""A torch module that computes what an ONNX file does, operator by operator.

Suffixes: B batch, C channels, H W height and width.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from onnx import NodeProto
from torch import Tensor, nn

from tgr_cli.errors import TgrError
from tgr_cli.models.onnx_model.constants import Arithmetic, Computed, computed, operation
from tgr_cli.models.onnx_model.file import OnnxFile
from tgr_cli.models.onnx_model.layers import LAYERS, NotConvertedError, linear, module_of
from tgr_cli.models.onnx_model.operators import NUMBERS_ARE_GIVEN, OWN
from tgr_cli.models.onnx_model.sharing import PLACES, SharedWeights

CALLED_AGAIN = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class Operation:
    """One operator: the path of its module, and the names of its inputs and outputs in the file.

    `numbers` says in which form inputs after the first are passed on, if they do not depend on the image's values:
    "lists", "arrays", or as tensors ("").
    """

    path: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: str = ""


class OnnxNetwork(nn.Module):
    """The network of a file, with a module for each operator that is computed from the image.

    A module is named after its weight where the file keeps the layer's name in it ("layer1.0.conv1.weight"), and else
    after its node, with "." for "/". Stored tensors outside of layers are parameters under their own names. A tensor
    that several operators read is one Parameter in all of them.
    `definition` is a digest of the operators, which with the tensors says what the network computes.
    """

    def __init__(self, file: OnnxFile) -> None:
        super().__init__()
        self.file_name, self.input, self.output = file.name, file.input, file.output
        self.expected = (file.channels, file.side, file.side)
        self.channels_last = file.channels_last
        self.note = ""  # what a user should know about it
        graph = computed(file.model.graph, file.opset)
        self.definition = _definition(file, graph)
        self.arrays: dict[str, np.ndarray] = {}  # stored values that are passed on as numbers
        self.tensors: dict[str, str] = {}  # the paths of those that are parameters or buffers
        self.steps: list[Operation | Arithmetic] = []
        self._layers: dict[tuple[object, ...], str] = {}
        self._shared = SharedWeights(file.path, Counter(name for node in graph.nodes for name in node.input))
        for node, bias in _joined(graph, file.output):
            if node.output[0] in graph.numbers:
                step = Arithmetic(node, file.opset)
                self.arrays |= {name: graph.stored[name] for name in step.inputs if name in graph.stored}
                self.steps.append(step)
            else:
                self.steps.append(self._operation(node, bias, graph, file))
        self.eval()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the file's output for a batch of images; raises TgrError for images of another size."""
        self._refuse_size(tuple(x_BCHW.shape[1:]))
        values: dict[str, Any] = {self.input: x_BCHW.permute(0, 2, 3, 1) if self.channels_last else x_BCHW}
        for step in self.steps:
            if isinstance(step, Arithmetic):
                values |= step.run({name: self._array(name, values) for name in step.inputs})
            else:
                module: nn.Module = attrgetter(step.path)(self)
                results = module(*self._arguments(step, values, x_BCHW.device))
                values |= zip(step.outputs, results if isinstance(results, tuple) else (results,), strict=False)
        output: Tensor = values[self.output]
        return output

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "OnnxNetwork":
        super()._apply(fn, recurse)
        self._shared.again()
        return self

    def _refuse_size(self, given_CHW: tuple[int, ...]) -> None:
        expected = zip(given_CHW, self.expected, strict=True)
        if any(size is not None and got != size for got, size in expected):
            wanted = "×".join("?" if size is None else str(size) for size in self.expected)
            raise TgrError(
                f"{self.file_name} takes images of {wanted}, where {'×'.join(map(str, given_CHW))} are given; set "
                "--crop, and --mean and --std with a value for each channel"
            )

    def _array(self, name: str, values: Mapping[str, Any]) -> np.ndarray:
        """Return a value in arithmetic on shapes; of a tensor only the shape is read."""
        value = values.get(name, self.arrays.get(name))
        return np.broadcast_to(np.float32(0), tuple(value.shape)) if isinstance(value, Tensor) else np.asarray(value)

    def _arguments(self, step: Operation, values: Mapping[str, Any], device: torch.device) -> list[Any]:
        arguments: list[Any] = []
        for at, name in enumerate(step.inputs):
            if not name:
                arguments.append(None)
            elif at and step.numbers:
                array = self._array(name, values)
                arguments.append(array.tolist() if step.numbers == "lists" else array)
            elif name in self.tensors:
                arguments.append(attrgetter(self.tensors[name])(self))
            else:
                arguments.append(torch.as_tensor(values[name], device=device))
        return arguments

    def _operation(self, node: NodeProto, bias: NodeProto | None, graph: Computed, file: OnnxFile) -> Operation:
        """Return a node as an operation, with its module and stored tensors added to the network."""
        inputs, outputs, numbers, added = list(node.input), node.output, "", ""
        while inputs and not inputs[-1]:
            inputs.pop()
        if _is_linear(node, graph):
            added = "" if bias is None else next(name for name in bias.input if name in graph.stored)
            module, inputs = linear(graph.stored[node.input[1]], graph.stored.get(added)), inputs[:1]
            self._shared.tie(node.op_type, [*node.input, added], module)
            outputs = node.output if bias is None else bias.output
        else:
            try:
                module = module_of(node, graph.stored, file.opset)
            except NotConvertedError as why:
                if node.op_type in PLACES and node.input[1] not in graph.stored:
                    raise TgrError(
                        f'{file.path}: the {node.op_type} "{node.name or node.output[0]}" takes its weight from '
                        f'"{node.input[1]}", which is computed at each run, from a weight that others read too or from '
                        "the image; give the PyTorch model with --model module:function"
                    ) from why
                raise TgrError(
                    f'{file.path} uses the operator {node.op_type} ("{node.name or node.output[0]}"), which cannot be '
                    f"converted to torch ({why}); export the model with other operators"
                ) from why
            if node.op_type in LAYERS:
                self._shared.tie(node.op_type, node.input, module)
                inputs = [name for name in inputs if name not in graph.stored]
            elif node.op_type in NUMBERS_ARE_GIVEN or node.op_type in OWN:
                numbers = "" if node.op_type in ("Concat", "MatMul") else "arrays" if node.op_type in OWN else "lists"
        self._keep(node, inputs, numbers, graph, file)
        layer = (operation(node, node.input[1:]), added)
        path = self._layers.get(layer, "") or self._place(_layer_name(node, graph), module)
        if node.op_type in CALLED_AGAIN and all(name in graph.stored for name in node.input[1:] if name):
            self._layers[layer] = path  # a layer that is called twice, as in PyTorch
        return Operation(path, tuple(inputs), tuple(outputs), numbers)

    def _keep(self, node: NodeProto, inputs: Sequence[str], numbers: str, graph: Computed, file: OnnxFile) -> None:
        """Add the stored tensors that a node is given; raises TgrError for numbers computed from the image's values."""
        for at, name in enumerate(inputs):
            if at and numbers and name:
                if name not in graph.stored and name not in graph.numbers:
                    raise TgrError(
                        f'{file.path}: the {node.op_type} "{node.name or node.output[0]}" takes a shape or bound from '
                        f'"{name}", which depends on the image\'s values; such a network cannot be traced'
                    )
                if name in graph.stored:
                    self.arrays[name] = graph.stored[name]
            elif name in graph.stored and name not in self.tensors:
                tensor = torch.tensor(graph.stored[name])
                value = nn.Parameter(tensor) if tensor.is_floating_point() else tensor
                self.tensors[name] = path = self._place(_path(name), value)
                owner, _, called = path.rpartition(".")
                self._shared.share(name, self.get_submodule(owner), called)

    def _place(self, path: str, value: nn.Module | Tensor) -> str:
        """Add a module, parameter or buffer at a dotted path, or at a similar one if that is taken; return the path."""
        *parents, last = path.split(".")
        owner: nn.Module = self
        taken = []
        for part in parents:
            while hasattr(owner, part) and part not in owner._modules:
                part += "_"
            if part not in owner._modules:
                owner.add_module(part, nn.Module())
            owner = owner.get_submodule(part)
            taken.append(part)
        while hasattr(owner, last):
            last += "_"
        if isinstance(value, nn.Module):
            owner.add_module(last, value)
        elif isinstance(value, nn.Parameter):
            owner.register_parameter(last, value)
        else:
            owner.register_buffer(last, value)
        return ".".join((*taken, last))


def _is_linear(node: NodeProto, graph: Computed) -> bool:
    """Return whether a node is a product of a computed value with a matrix that only such products read."""
    return node.op_type == "MatMul" and node.input[0] not in graph.stored and node.input[1] in graph.matrices


def _joined(graph: Computed, output: str) -> Iterator[tuple[NodeProto, NodeProto | None]]:
    """Yield the nodes; a linear layer's product with the node that adds its bias, None for others and without one."""
    readers = Counter(name for node in graph.nodes for name in node.input)
    readers[output] += 1
    adding: dict[str, NodeProto] = {}
    for node in graph.nodes:
        if node.op_type == "Add":
            adding |= {name: node for name in node.input if name not in graph.stored}
    done: set[str] = set()
    for node in graph.nodes:
        if node.output[0] in done:
            continue
        bias = adding.get(node.output[0]) if _is_linear(node, graph) and readers[node.output[0]] == 1 else None
        if bias is not None:
            width = graph.stored[node.input[1]].shape[1:]
            if not any(graph.stored[name].shape == width for name in bias.input if name in graph.stored):
                bias = None
        if bias is not None:
            done.add(bias.output[0])
        yield node, bias


def _layer_name(node: NodeProto, graph: Computed) -> str:
    weight = node.input[1] if len(node.input) > 1 and node.input[1] in graph.stored else ""
    named = (node.op_type in LAYERS or _is_linear(node, graph)) and weight.endswith(".weight") and ":" not in weight
    return _path(weight.removesuffix(".weight") if named else node.name or node.output[0])


def _path(name: str) -> str:
    """Return a name of the file as a dotted path of attributes."""
    parts = [re.sub(r"[^A-Za-z0-9_-]", "_", part) for part in re.split(r"[./]", name) if part]
    return ".".join(parts) or "unnamed"


def _definition(file: OnnxFile, graph: Computed) -> str:
    """Return a digest of the operators, their attributes and how they are connected."""
    digest = hashlib.sha256(f"opset {file.opset}|{file.input}|{file.output}|{file.channels_last}".encode())
    for node in graph.nodes:
        digest.update(f"|{node.op_type}|{','.join(node.input)}|{','.join(node.output)}".encode())
        for attribute in sorted(node.attribute, key=attrgetter("name")):
            digest.update(attribute.SerializeToString(deterministic=True))
    for name in sorted(graph.stored):
        array = graph.stored[name]
        if array.dtype.kind in "iub" or array.size == 1:  # they become numbers; all others are tensors of the network
            digest.update(f"|{name}|{array.dtype}|{array.shape}|".encode() + array.tobytes())
    return digest.hexdigest()
