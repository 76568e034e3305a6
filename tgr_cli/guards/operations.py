"""The operations of a forward pass by name, as they run: convolutions, linear layers, activation functions.

The names of convolutions and linear layers are those of the sites that `tgr sites` lists.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from threading import get_ident
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
ACTIVATIONS = (
    *("relu", "relu6", "hardtanh", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish"),
    *(
        "softplus",
        "softsign",
        "hardswish",
        "hardsigmoid",
        "sigmoid",
        "logsigmoid",
        "log_sigmoid",
        "tanh",
        "glu",
        "threshold",
    ),
    *("hardshrink", "softshrink", "tanhshrink"),
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
    counted apart from the others, which belong to the module that runs them. `within` is the path of that module.
    """

    path: str
    number: int
    kind: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    within: str

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


@dataclass
class Running:
    """One forward pass of a model: which modules run, and how often each has run an operation."""

    model: nn.Module
    step: Step
    modules: list[tuple[str, nn.Module]]  # innermost last
    counts: Counter[tuple[str, bool]] = field(default_factory=Counter)
    modes: list["Interception"] = field(default_factory=list)
    busy: bool = False  # with an operation, which other interceptions of the pass leave alone

    def run(self, kind: str, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Let the step compute an operation, by its name."""
        within, weighted = self.modules[-1][0], kind in WEIGHTED
        path = self._owner(args[1] if len(args) > 1 else kwargs.get("weight")) if weighted else within
        self.counts[path, weighted] += 1
        number = self.counts[path, weighted]
        named = path or (kind if weighted else WHOLE)
        self.busy = True
        try:
            return self.step(Operation(named, number, kind, function, args, kwargs, within))
        finally:
            self.busy = False

    def _owner(self, weight: Any) -> str:
        """Return the path of the module that owns a weight: the running one, or else the first; that which runs."""
        path, module = self.modules[-1]
        if path and any(weight is own for own in module._parameters.values()):
            return path
        return self._owners.get(id(weight), path)

    @cached_property
    def _owners(self) -> dict[int, str]:
        owners: dict[int, str] = {}
        for name, parameter in self.model.named_parameters(remove_duplicate=False):
            owners.setdefault(id(parameter), name.rpartition(".")[0] or name)
        return owners


class Interception(TorchFunctionMode):
    """While it is entered, the step of a pass computes every named operation in place of torch.

    Operations within another one, such as the products within nn.MultiheadAttention, are not seen.
    """

    def __init__(self, running: Running) -> None:
        super().__init__()
        self.running = running

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kind, kwargs = KINDS.get(_called(func)), kwargs or {}
        if kind is None or self.running.busy:
            return func(*args, **kwargs)
        return self.running.run(kind, func, args, kwargs)


@dataclass
class Attached:
    """Hooks by which a model intercepts its own operations in every forward pass, until they are removed.

    The model can be copied with them, exported and moved. `begin` gives the step for one forward pass, and `end` turns
    the model's output into the one that is returned. `within` are the paths of the modules that run the operations to
    intercept: elsewhere torch runs undisturbed. "" among them stands for the whole model. None does, too, and sees what
    the guards of the model make of its operations.
    """

    begin: Callable[[], Step]
    end: Callable[[Any, Any], Any]
    within: Collection[str] | None = None
    _passes: dict[int, list[Running]] = field(default_factory=dict)  # by thread; the innermost last

    def to(self, model: nn.Module) -> list[RemovableHandle]:
        """Attach to the model, and return the handles that remove the hooks."""
        handles = [
            model.register_forward_pre_hook(self._enter),
            model.register_forward_hook(self._leave, always_call=True),
        ]
        for path, module in model.named_modules():
            parts = path.split(".")
            within = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
            if path and (self._whole or not set(within).isdisjoint(self.within or ())):
                outermost = not self._whole and set(within[:-1]).isdisjoint(self.within or ())
                entrance = outermost or self.within is None  # the last one to intercept is the first to be asked
                handles += [
                    module.register_forward_pre_hook(partial(self._into, path, entrance)),
                    module.register_forward_hook(partial(self._out_of, entrance), always_call=True),
                ]
        return handles

    @property
    def _whole(self) -> bool:
        return self.within is None or "" in self.within

    def _enter(self, model: nn.Module, inputs: tuple[Any, ...]) -> None:
        running = Running(model, self.begin(), [("", model)])
        self._passes.setdefault(get_ident(), []).append(running)
        if self._whole:
            _intercept(running)

    def _leave(self, model: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        running = self._passes[get_ident()].pop()
        if self._whole:
            _let_go(running)
        return None if output is None else self.end(running.step, output)  # None: the pass has raised

    def _into(self, path: str, entrance: bool, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if passes := self._passes.get(get_ident()):  # a part of the model may be called alone
            passes[-1].modules.append((path, module))
            if entrance:
                _intercept(passes[-1])

    def _out_of(self, entrance: bool, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if passes := self._passes.get(get_ident()):
            passes[-1].modules.pop()
            if entrance:
                _let_go(passes[-1])


def _intercept(running: Running) -> None:
    running.modes.append(Interception(running))
    running.modes[-1].__enter__()


def _let_go(running: Running) -> None:
    running.modes.pop().__exit__(None, None, None)


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


@lru_cache(maxsize=1024)
def _called(function: Any) -> str:
    name = str(getattr(function, "__name__", ""))
    return name if name.startswith("__") else name.lstrip("_").rstrip("_")
