"""Exports a model as a functional graph of ATen operations, with torch.export.

Suffixes: B batch, C channels, H W height and width.
"""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Graph
from torch.fx.node import Node
from torch.nn.attention import SDPBackend, sdpa_kernel

from tgr_cli.errors import TgrError
from tgr_cli.faults.network import changing, no_logits
from tgr_cli.faults.operation_names import DECODING, name_of

aten = torch.ops.aten


class ExportError(TgrError):
    """torch.export cannot trace the model."""


@contextmanager
def without_fast_path() -> Iterator[None]:
    """Disable the fused fast path of nn.MultiheadAttention, which hides its linear layers."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress torch's own output and warnings during tracing.

    On failure torch prints the whole graph, besides raising. Its warnings address authors of models (for example, that
    a recurrent layer sets attributes); where warnings are errors they would make the capture of a valid model fail.
    """
    with redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def export(model: nn.Module, example: Tensor, *, decompose_attention: bool) -> ExportedProgram:
    """Return `model` as a functional graph for a batch of the shape of `example`.

    Raises ExportError where torch.export cannot trace the model, and TgrError where the model mutates a buffer or does
    not return logits.
    """
    table = _of_attention() if decompose_attention else {}
    try:
        with without_fast_path(), torch.no_grad(), _quiet(), sdpa_kernel(SDPBackend.MATH):
            program = torch.export.export(model, (example,))
            program = program.run_decompositions(table)
    except Exception as error:  # the model's own code and every pass of export may raise anything
        words = " ".join(str(error).split())[:200]
        raise ExportError(f"torch.export cannot trace the model ({type(error).__name__}: {words})") from error
    _drop_checks(program.graph)
    _decode_late(program.graph)
    signature = program.graph_signature
    if signature.buffers_to_mutate:
        raise changing(next(iter(signature.buffers_to_mutate.values())))
    outputs: Any = program.graph.output_node().args[0]
    shapes = [tuple(node.meta["val"].shape) if isinstance(node, Node) else None for node in outputs]
    if len(shapes) != 1 or shapes[0] is None or len(shapes[0]) != 2:
        raise no_logits(shapes)
    return program


@cache
def _of_attention() -> dict[Any, Callable[..., Any]]:
    """Return torch's decompositions of fused attention and einsum; torch takes a while to collect them."""
    known = torch.export.default_decompositions()
    fused = ("einsum", "scaled_dot_product_attention", "_scaled_dot_product_attention_math")
    return {op: known[op] for name in fused if (op := getattr(aten, name).default) in known}


def _drop_checks(graph: Graph) -> None:
    """Remove runtime assertions, which produce no value.

    Casts and asserts in the model leave them behind. A fault could make one fail and so abort the inference, which is
    not among the outcomes.
    """
    for node in reversed(graph.nodes):
        if node.op == "call_function" and not node.users and node.meta.get("val") is None:
            graph.erase_node(node)


def _decode_late(graph: Graph) -> None:
    """Move what the guard of an encoding computes to its first reader: tensors are used in the model's order."""
    moved = set[Node]()
    for reader in list(graph.nodes):
        for node in reader.all_input_nodes:
            if name_of(node) in DECODING and node not in moved:
                reader.prepend(node)
                moved.add(node)


def inputs_of(program: ExportedProgram) -> tuple[Node, dict[Node, Any]]:
    """Return the graph's image input, and the values of all its other inputs by node."""
    signature, placeholders = program.graph_signature, program.graph.find_nodes(op="placeholder")
    state, constants = program.state_dict, program.constants
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    values: dict[Node, Any] = {}
    images = []
    for node in placeholders:
        if node.name in names:
            name = names[node.name]
            # non-persistent buffers are not in the state dict
            value = state[name] if name in state else constants[name]
            values[node] = value.detach()
        elif node.name in signature.inputs_to_lifted_tensor_constants:
            values[node] = constants[signature.inputs_to_lifted_tensor_constants[node.name]]
        else:
            images.append(node)
    (image,) = images
    return image, values
