"""The torch module of one operator of an ONNX graph, with its weights."""

import warnings
from collections.abc import Mapping

import numpy as np
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.modules.pooling import _MaxPoolNd

from tgr_cli.models.onnx_model.constants import attributes
from tgr_cli.models.onnx_model.operators import OWN, own

# Operators whose weights are part of their module; the others are given theirs at each call.
LAYERS = ("Conv", "ConvTranspose", "Gemm", "BatchNormalization", "InstanceNormalization", "GRU", "LSTM", "RNN")


class NotConvertedError(Exception):
    """There is no torch module for this operator."""


def linear(weight_IO: np.ndarray, bias_O: np.ndarray | None) -> nn.Module:
    """Return the layer of a product with a stored matrix, and of the bias that is added to it, if any."""
    inputs, outputs = weight_IO.shape
    layer = nn.Linear(inputs, outputs, bias=bias_O is not None)
    layer.weight = nn.Parameter(torch.tensor(weight_IO.T))
    if bias_O is not None:
        layer.bias = nn.Parameter(torch.tensor(bias_O))
    return layer


def module_of(node: NodeProto, stored: Mapping[str, np.ndarray], opset: int) -> nn.Module:
    """Return the module of a node, with its `stored` weights if it is one of `LAYERS`.

    Raises NotConvertedError, with the reason.
    """
    if node.op_type in OWN:
        return own(node.op_type, attributes(node))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on results that may differ: they are compared with ONNX Runtime's
            module = _converted(node, stored if node.op_type in LAYERS else {}, opset)
    except Exception as error:  # whatever the converter raises for attributes that it does not know
        raise NotConvertedError(str(error).strip().split("\n")[0] or type(error).__name__) from error
    if not isinstance(module, nn.Module):  # onnx2pytorch's guess at a function of torch with the same name
        raise NotConvertedError("onnx2pytorch does not know it")
    for pool in module.modules():
        if isinstance(pool, _MaxPoolNd):
            pool.return_indices = len(node.output) > 1
    return module


def _converted(node: NodeProto, stored: Mapping[str, np.ndarray], opset: int) -> object:
    from onnx2pytorch import ConvertModel

    node = _in_evaluation_mode(node)
    weights = [numpy_helper.from_array(stored[name], name) for name in dict.fromkeys(node.input) if name in stored]
    inputs = [name for name in dict.fromkeys(node.input) if name and name not in stored]
    graph = helper.make_graph(
        [node],
        "operator",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in node.output if name],
        weights,
    )
    network = ConvertModel(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]))
    return getattr(network, network.mapping[node.output[0]])


def _in_evaluation_mode(node: NodeProto) -> NodeProto:
    """Return a node without the attribute that says that it is one, which onnx2pytorch does not know."""
    if "training_mode" not in attributes(node):
        return node
    copy = NodeProto()
    copy.CopyFrom(node)
    del copy.attribute[:]
    copy.attribute.extend(attribute for attribute in node.attribute if attribute.name != "training_mode")
    return copy
