"""An ONNX file of an image classifier, read and checked before anything is converted.

Imports onnx inside the functions: it comes with the extra `onnx`, and most commands do not need it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tgr_cli.errors import TgrError, first_line
from tgr_cli.models.onnx_model.endings import refuse_without_logits
from tgr_cli.naming import listed

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

SPECIFIED = ("", "ai.onnx")  # the domains of ONNX's own operators
CHANNELS = (1, 3)
FLOATS = ("float32", "float16")  # ONNX Runtime has no convolution in others
OTHER_FLOATS = ("float64", "bfloat16")
QUANTISING = re.compile(r"(Dynamic)?QuantizeLinear|DequantizeLinear|QLinear\w+|\w+Integer")
RANDOM = re.compile(r"Random(Normal|Uniform)(Like)?|Bernoulli|Multinomial")
BRANCHING = re.compile(r"If|Loop|Scan|SequenceMap")


@dataclass(frozen=True, kw_only=True)
class OnnxFile:
    """A checked file: one image batch in, one floating-point tensor out, ONNX's own operators only.

    `batch` and `side` are the sizes that the file fixes, None where it leaves them open. `channels_last` is whether
    images are laid out [N, H, W, C]. `dtype` is the NumPy name of the input's type, `precision` of the lowest inside.
    """

    path: Path
    model: "ModelProto"
    opset: int
    input: str
    output: str
    batch: int | None
    channels: int
    side: int | None
    channels_last: bool
    dtype: str
    precision: str

    @property
    def name(self) -> str:
        """Return the model's name on the command line."""
        return f"onnx:{self.path}"


def read(path: Path) -> OnnxFile:
    """Return the file at `path`, with the weights that it keeps in files beside it.

    Raises TgrError where it is missing or damaged, newer than the installed onnx, not a classifier of images, or uses
    operators that cannot be converted or struck.
    """
    import onnx

    model = _parsed(path)
    opset = _opset(path, model)
    _read_weights_beside(path, model)
    if model.functions:
        from onnx.inliner import inline_local_functions

        model = inline_local_functions(model)
    _refuse_operators(path, model.graph)
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # the checker raises several kinds, for values of attributes too
        raise TgrError(f"{path} is not a valid ONNX file ({first_line(error)}); export it again") from error
    given, output = _only_input(path, model.graph), _only_output(path, model.graph)
    batch, channels, side, last = _layout(path, given)
    return OnnxFile(
        path=path,
        model=model,
        opset=opset,
        input=given.name,
        output=output.name,
        batch=batch,
        channels=channels,
        side=side,
        channels_last=last,
        dtype=_dtype(path, given, "input"),
        precision=_precision(model.graph),
    )


def _parsed(path: Path) -> "ModelProto":
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise TgrError(f"{path} is no ONNX file, or is cut short ({first_line(error)}); export it again") from error
    except OSError as error:
        raise TgrError(f"{path} cannot be read ({error.strerror})") from error
    if not model.graph.node:  # an empty file is read as a model without anything
        raise TgrError(f"{path} holds no network (no nodes); export it again")
    return model


def _opset(path: Path, model: "ModelProto") -> int:
    """Return the version of ONNX's operators that the file uses."""
    import onnx

    versions = {entry.domain: entry.version for entry in model.opset_import}
    known, newest_ir = onnx.defs.onnx_opset_version(), onnx.IR_VERSION
    opset = next((versions[domain] for domain in SPECIFIED if domain in versions), None)
    if opset is None:
        raise TgrError(f"{path} does not say which version of ONNX's operators it uses (opset_import); export it again")
    if opset > known or model.ir_version > newest_ir:
        raise TgrError(
            f"{path} is of opset {opset} and IR version {model.ir_version}, where onnx {onnx.__version__} knows up to "
            f"{known} and {newest_ir}; install a newer onnx, or export with opset_version={known} or lower"
        )
    return opset


def _read_weights_beside(path: Path, model: "ModelProto") -> None:
    """Load the tensors that the file keeps in other files of its folder."""
    from onnx.external_data_helper import load_external_data_for_model, uses_external_data

    beside = [tensor for tensor in model.graph.initializer if uses_external_data(tensor)]
    places = {entry.value for tensor in beside for entry in tensor.external_data if entry.key == "location"}
    try:
        load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # onnx raises its own errors for paths outside the folder, and for files that are short
        raise TgrError(
            f"{path} keeps its weights in {listed(sorted(places))} beside it, which cannot be read "
            f"({first_line(error)}); copy both files to one folder"
        ) from error


def _refuse_operators(path: Path, graph: "GraphProto") -> None:
    """Raise TgrError for operators that are not ONNX's own, or that cannot be converted faithfully."""
    foreign = _operators(node for node in graph.node if node.domain not in SPECIFIED)
    if foreign:
        raise TgrError(
            f"{path} uses operators that are not ONNX's own ({foreign}), as files that a runtime has optimised do; "
            "give the file that was exported"
        )
    if quantised := _matching(graph, QUANTISING):
        raise TgrError(
            f"{path} is quantised ({quantised}); give the file before quantisation, and a number format with --format "
            "int8"
        )
    if drawn := _matching(graph, RANDOM):
        raise TgrError(f"{path} draws random numbers ({drawn}); export it in evaluation mode")
    if training := _operators(_in_training(graph)):
        raise TgrError(f"{path} is in training mode ({training}); export it in evaluation mode")
    if branching := _matching(graph, BRANCHING):
        raise TgrError(
            f"{path} uses {branching}, whose branches cannot be struck; export the model without control flow"
        )


def _in_training(graph: "GraphProto") -> "Iterator[NodeProto]":
    """Yield the nodes in training mode: normalisations say it in an attribute, dropouts in an input."""
    from onnx import helper

    true = {tensor.name for tensor in graph.initializer if _is_true(tensor)}
    for node in graph.node:
        given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type == "Constant" and any(map(_is_true, _tensors(given.values()))):
            true.add(node.output[0])
        if given.get("training_mode") or (node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] in true):
            yield node


def _is_true(tensor: "TensorProto") -> bool:
    from onnx import TensorProto, numpy_helper

    return tensor.data_type == TensorProto.BOOL and bool(numpy_helper.to_array(tensor).any())


def _matching(graph: "GraphProto", pattern: re.Pattern[str]) -> str:
    return _operators(node for node in graph.node if pattern.fullmatch(node.op_type))


def _operators(nodes: "Iterable[NodeProto]") -> str:
    """Return the kinds of these nodes in words, "" for none."""
    kinds = {f"{node.domain}.{node.op_type}".lstrip("."): None for node in nodes}
    return listed(kinds)


def _only_input(path: Path, graph: "GraphProto") -> "ValueInfoProto":
    stored = {tensor.name for tensor in graph.initializer}  # old files list their weights as inputs, too
    inputs = [value for value in graph.input if value.name not in stored]
    if len(inputs) != 1:
        names = listed([value.name for value in inputs]) or "none"
        raise TgrError(f"{path} has {len(inputs)} inputs ({names}), where one batch of images is expected")
    return inputs[0]


def _only_output(path: Path, graph: "GraphProto") -> "ValueInfoProto":
    if len(graph.output) != 1:
        names = listed([value.name for value in graph.output])
        raise TgrError(
            f"{path} has {len(graph.output)} outputs ({names}), where one tensor of logits is expected; keep that one: "
            "onnx.utils.extract_model writes a file of a part"
        )
    (output,) = graph.output
    refuse_without_logits(path, graph, output.name)
    _dtype(path, output, "output")
    return output


def _dtype(path: Path, value: "ValueInfoProto", what: str) -> str:
    from onnx import TensorProto, helper

    kind = value.type.tensor_type.elem_type
    name = "bfloat16" if kind == TensorProto.BFLOAT16 else np.dtype(helper.tensor_dtype_to_np_dtype(kind)).name
    if name not in FLOATS:
        instead = "it in float32" if name in OTHER_FLOATS else "the part from normalised images to logits"
        raise TgrError(
            f'{path} has an {what} "{value.name}" of {name}, where one of {", ".join(FLOATS)} is expected; export '
            f"{instead}"
        )
    return name


def _precision(graph: "GraphProto") -> str:
    """Return the lowest precision that the file stores a tensor in or casts one to."""
    from onnx import TensorProto, helper

    kinds = {tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        kinds.add(value.type.tensor_type.elem_type)
    for node in graph.node:
        given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        kinds |= {given["to"]} if node.op_type == "Cast" else {each.data_type for each in _tensors(given.values())}
    if TensorProto.BFLOAT16 in kinds:
        return "bfloat16"
    return "float16" if TensorProto.FLOAT16 in kinds else "float32"


def _tensors(values: "Iterable[object]") -> "list[TensorProto]":
    from onnx import TensorProto

    return [value for value in values if isinstance(value, TensorProto)]


def _layout(path: Path, given: "ValueInfoProto") -> tuple[int | None, int, int | None, bool]:
    """Return the batch size, channels and side of the input, None where it leaves these open, and whether C is last."""
    kind = given.type.tensor_type
    # Some exporters write -1 for a size that is open.
    sizes = [d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None for d in kind.shape.dim]
    words = "×".join("?" if size is None else str(size) for size in sizes) if kind.HasField("shape") else "any shape"
    if len(sizes) != 4:
        raise TgrError(f'{path} has an input "{given.name}" of {words}, where images of N×C×H×W are expected')
    if 0 in sizes:
        raise TgrError(
            f'{path} has an input "{given.name}" of {words}, where no size may be 0; export it with one image or more '
            "as its example, or with open sizes"
        )
    batch, second, third, fourth = sizes
    last = second not in CHANNELS and fourth in CHANNELS
    channels = fourth if last else second
    height, width = (second, third) if last else (third, fourth)
    if channels not in (None, *CHANNELS):
        raise TgrError(f'{path} has an input "{given.name}" of {words}, where images of 1 or 3 channels are expected')
    if None not in (height, width) and height != width:
        raise TgrError(f"{path} takes images of {height}×{width} pixels; tgr can only prepare square ones")
    return batch, channels or 3, height or width, last
