"""The operations of a forward pass by name, as they run: convolutions, linear layers, activation functions.

The names of convolutions and linear layers are those of the sites that `tgr sites` lists.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from threading import get_ident
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
ACTIVATIONS = (
    *("relu", "relu6", "hardtanh", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish"),
    *("softplus", "softsign", "hardswish", "hardsigmoid", "sigmoid", "logsigmoid", "tanh"),
)
POOLING = (
    *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
    *("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
)
KINDS = {
    **dict.fromkeys((*CONVOLUTIONS, *TRANSPOSED), "conv"),
    "linear": "linear",
    **dict.fromkeys(ACTIVATIONS, "activation"),
    **dict.fromkeys(POOLING, "pool"),
    "cat": "cat",
    "concat": "cat",
    "concatenate": "cat",
}
WEIGHTED = ("conv", "linear")
WHOLE = "model"  # path of what the model itself runs, outside its modules
BOUNDED = ("activation", "pool", "cat")


@dataclass(frozen=True)
class Operation:
    """One call: the `number`-th (from 1) of the module at `path`, with its function and arguments.

    `kind` is conv, linear, activation, pool or cat. The first two belong to the module that owns their weight, and are
    counted apart from the others, which belong to the module that runs them.
    """

    path: str
    number: int
    kind: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def weighted(self) -> bool:
        """Return whether the operation multiplies its input by a weight."""
        return self.kind in WEIGHTED

    @property
    def called(self) -> str:
        """Return the function's name without the underscore of its in-place form, such as "relu"."""
        return _called(self.function)

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """Return an argument given by place or by name."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)

    def on(self, x: Tensor) -> "Operation":
        """Return the same operation on another input."""
        if self.args:
            return replace(self, args=(x, *self.args[1:]))
        return replace(self, kwargs={**self.kwargs, "input": x})

    def run(self) -> Any:
        """Compute the operation, and return its result."""
        return self.function(*self.args, **self.kwargs)


Step = Callable[[Operation], Any]  # computes the operation, in its own way


class Interception(TorchFunctionMode):
    """While it is entered, `step` computes every named operation in place of torch.

    Operations within another one, such as the products within nn.MultiheadAttention, are not seen.
    """

    def __init__(self, model: nn.Module, step: Step) -> None:
        super().__init__()
        self.step = step
        self.running = [""]  # paths of the modules that run, innermost last
        self._owners: dict[int, list[str]] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            self._owners.setdefault(id(parameter), []).append(name.rpartition(".")[0] or name)
        self._counts = Counter[tuple[str, bool]]()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kind = KINDS.get(_called(func))
        kwargs = kwargs or {}
        if kind is None:
            return func(*args, **kwargs)
        path = self.running[-1]
        if kind in WEIGHTED:
            weight = args[1] if len(args) > 1 else kwargs.get("weight")
            owners = self._owners.get(id(weight), [])
            path = path if path in owners or not owners else owners[0]
        weighted = kind in WEIGHTED
        self._counts[path, weighted] += 1
        path, number = path or (kind if weighted else WHOLE), self._counts[path, weighted]
        return self.step(Operation(path, number, kind, func, args, kwargs))


@dataclass
class Attached:
    """Hooks by which a model intercepts its own operations in every forward pass, until they are removed.

    The model can be copied with them, exported and moved. `begin` gives the step for one forward pass, and `end` turns
    the model's output into the one that is returned.
    """

    begin: Callable[[], Step]
    end: Callable[[Any, Any], Any]
    _passes: dict[int, list[Interception]] = field(default_factory=dict)  # by thread; the innermost last

    def to(self, model: nn.Module) -> list[RemovableHandle]:
        """Attach to the model, and return the handles that remove the hooks."""
        handles = [
            model.register_forward_pre_hook(self._enter),
            model.register_forward_hook(self._leave, always_call=True),
        ]
        for path, module in model.named_modules():
            if path:
                handles += [
                    module.register_forward_pre_hook(partial(self._into, path)),
                    module.register_forward_hook(self._out_of, always_call=True),
                ]
        return handles

    def _enter(self, model: nn.Module, inputs: tuple[Any, ...]) -> None:
        interception = Interception(model, self.begin())
        self._passes.setdefault(get_ident(), []).append(interception)
        interception.__enter__()

    def _leave(self, model: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        interception = self._passes[get_ident()].pop()
        interception.__exit__(None, None, None)
        return None if output is None else self.end(interception.step, output)  # None: the pass has raised

    def _into(self, path: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if passes := self._passes.get(get_ident()):  # a part of the model may be called alone
            passes[-1].running.append(path)

    def _out_of(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if passes := self._passes.get(get_ident()):
            passes[-1].running.pop()


@contextmanager
def observed(model: nn.Module, see: Callable[[Operation, Tensor], None]) -> Iterator[None]:
    """Within the context, call `see` with every operation of the model's forward passes and its result."""

    def step(operation: Operation) -> Any:
        value = operation.run()
        see(operation, value)
        return value

    handles = Attached(lambda: step, lambda _, output: output).to(model)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def names_of(operations: Sequence[Operation]) -> list[str]:
    """Return the names of a forward pass's operations: the path, and `#1`, `#2`, … where a module makes several."""

    totals = Counter((operation.path, operation.weighted) for operation in operations)
    return [
        f"{operation.path}#{operation.number}" if totals[operation.path, operation.weighted] > 1 else operation.path
        for operation in operations
    ]


def key_of(name: str) -> tuple[str, int]:
    """Return the path and the number of the operation of a name.

    >>> key_of("layer1.0.relu#2")
    ('layer1.0.relu', 2)
    """
    path, _, number = name.partition("#")
    return path, int(number or 1)


def _called(function: Any) -> str:
    name = str(getattr(function, "__name__", ""))
    return name if name.startswith("__") else name.lstrip("_").rstrip("_")
