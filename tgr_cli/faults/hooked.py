"""A network of sites for a model that torch.export cannot trace: forward hooks on its modules.

Suffixes: B batch, C classes or channels, H W height and width, N neurons of one image's share.
"""

import copy
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from tgr_cli.errors import TgrError
from tgr_cli.faults.deployment import Deployment
from tgr_cli.faults.export import ExportError, without_fast_path
from tgr_cli.faults.graph import Network
from tgr_cli.faults.network import AnyNetwork, Replacements, no_logits
from tgr_cli.faults.sites import Site
from tgr_cli.faults.tensor_sites import kind_of
from tgr_cli.faults.unchanged_buffers import unchanging
from tgr_cli.guards.guard import refuse_without_graph
from tgr_cli.reporting import SILENT, Reporter

LAYERS = (_ConvNd, nn.Linear)
QUANTISED = "torch.ao.nn."  # modules of eager quantisation, static and dynamic
EXAMPLES, SHOWN = 2, 3  # random images that the model is watched on; modules that a message names
Touch = Callable[[str, int, nn.Module, Tensor, Tensor], Tensor]  # module path, call number, module, input, output


def capture(
    model: nn.Module,
    example_shape_CHW: Sequence[int],
    *,
    batch_size: int,
    targets: Sequence[str] = ("conv", "linear"),
    device: str | torch.device = "cpu",
    reporter: Reporter = SILENT,
) -> AnyNetwork:
    """Return the model as a graph or, where torch.export cannot trace it, as a network with forward hooks.

    The fallback is reported as a note. Raises TgrError for a model that supports neither.
    """
    try:
        return Network.capture(model, example_shape_CHW, batch_size=batch_size, targets=targets, device=device)
    except ExportError as error:
        refuse_without_graph(model, error)
        try:
            network = HookedNetwork(model, example_shape_CHW, targets=targets, device=device)
        except TgrError:
            raise
        except Exception as other:  # the model's own code may raise anything
            words = " ".join(str(other).split())[:200]
            shape = "×".join(map(str, example_shape_CHW))
            raise TgrError(
                f"the model fails on a random image of {shape} ({type(other).__name__}: {words}); check it and --crop"
            ) from error
        reporter.note(
            f"{error}: {network.facts['hooked_modules']} convolution and linear modules are hooked instead, functional "
            "calls cannot be seen, and the engine full runs one image at a time"
        )
        return network


@dataclass
class _Call:
    """One observed call of a module: its output for each example image that reaches it, and its MACs.

    `shape_of_two` is the shape of its output for a batch of two; None where the model rejects such a batch.
    """

    path: str
    number: int
    op: str
    macs: int = 0
    outputs: list[Tensor] = field(default_factory=list)
    shape_of_two: tuple[int, ...] | None = None


class HookedNetwork(AnyNetwork):
    """A model that is observed and injected into by forward hooks, which exist only during a forward pass.

    Batches are of size 1: with data-dependent control flow a batch may take another path than its images alone. Sites
    are the calls of convolution and linear modules that two random images make; other images may skip some of them.
    Tensors are listed in order of registration, including those that the logits do not depend on.
    """

    def __init__(
        self,
        model: nn.Module,
        example_shape_CHW: Sequence[int],
        *,
        targets: Sequence[str] = ("conv", "linear"),
        device: str | torch.device = "cpu",
    ) -> None:
        assert not model.training, "evaluation mode is expected"
        self.model = model
        self.batch_size, self.input_shape = 1, tuple(example_shape_CHW)
        self.device = torch.device(device)
        self.dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
        self._modules = {path: module for path, module in model.named_modules() if isinstance(module, LAYERS)}
        calls, self.num_classes = self._see()
        total = Counter(call.path for call in calls)
        self._sites = {
            (call.path, call.number): _site(call, several=total[call.path] > 1) for call in calls if call.op in targets
        }
        self.sites = tuple(self._sites.values())
        if not self.sites:
            raise TgrError(
                f"the model has no convolution or linear module among the targets {', '.join(targets)}, and "
                f"torch.export cannot trace it; {_advice(model)}"
            )
        self.facts = {"hooked_modules": len({path for path, _ in self._sites}), "unseen": "functional calls"}
        buffers = dict(model.named_buffers())
        tensors: dict[str, Tensor] = {**dict(model.named_parameters()), **buffers}
        tensors = {name: value for name, value in tensors.items() if value.is_floating_point() and value.numel()}
        self.parameters = {name: value.detach() for name, value in tensors.items()}
        self._rounded: dict[str, Tensor] = {}
        self.parameter_sites = tuple(
            Site(
                name,
                kind_of(name, buffer=name in buffers),
                tuple(value.shape),
                self._work(value, calls),
                per_image=False,
            )
            for name, value in tensors.items()
        )

    def deployed(self, deployment: Deployment) -> "HookedNetwork":
        assert self.deployment is None, "deploy the model as it is"
        network = copy.copy(self)
        network.deployment, network._rounded = deployment, deployment.weights(self.parameters)
        network.parameters = {**self.parameters, **network._rounded}
        return network

    def channel_axis(self, site: str) -> int:
        module = self._modules[site.partition("#")[0]]
        return 1 - module.weight.ndim if isinstance(module, _ConvNd) else -1

    def output_axis(self, name: str) -> int:
        value = self.parameters[name]
        readers = [
            module
            for module in self._modules.values()
            if any(own.data_ptr() == value.data_ptr() for own in module.parameters())
        ]
        return 1 if readers and isinstance(readers[0], _ConvTransposeNd) else 0

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
        assert x_BCHW.shape == (1, *self.input_shape), x_BCHW.shape

        def touch(path: str, number: int, module: nn.Module, value_in: Tensor, value: Tensor) -> Tensor:
            site = self._sites.get((path, number))
            if site is None:
                return value
            if value.numel() != site.neurons:
                raise TgrError(
                    f'the output of site "{site.name}" has {value.numel()} elements for one image and {site.neurons} '
                    f'for another, so faults there cannot be numbered; leave "{site.op}" out of the targets'
                )
            if self.deployment is not None and self.rounds:
                value = _replaced(value, partial(self.deployment.output, site, self.channel_axis(site.name)))
            if site.name in strike:
                value = _replaced(value, strike[site.name])
            if observe is not None:
                observe(site, value.reshape(1, -1))
            return value

        return self._run(x_BCHW, touch, {**self._rounded, **(parameters or {})})

    def _run(self, x_BCHW: Tensor, touch: Touch, parameters: Mapping[str, Tensor]) -> Any:
        x_BCHW = x_BCHW.to(self.device, self.dtype)
        with self._hooks(touch), without_fast_path(), torch.inference_mode():
            return functional_call(self.model, dict(parameters), (x_BCHW,)) if parameters else self.model(x_BCHW)

    @contextmanager
    def _hooks(self, touch: Touch) -> Iterator[None]:
        numbers, handles = Counter[str](), []

        def hook(path: str, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
            numbers[path] += 1
            return touch(path, numbers[path], module, inputs[0], output)

        try:
            for path, module in self._modules.items():
                handles.append(module.register_forward_hook(lambda *seen, path=path: hook(path, *seen)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _see(self) -> tuple[list[_Call], int]:
        """Return the calls that random images make, in order of first occurrence, and the number of classes.

        Raises TgrError where the model does not return logits or mutates a buffer; the buffer is restored.
        """
        calls: dict[tuple[str, int], _Call] = {}

        def look(path: str, number: int, module: nn.Module, value_in: Tensor, value: Tensor) -> Tensor:
            op = "linear" if isinstance(module, nn.Linear) else "conv"
            call = calls.setdefault((path, number), _Call(path, number, op))
            call.macs = _macs(module, value_in, value)
            call.outputs.append(value.clone())
            return value

        generator = torch.Generator().manual_seed(0)
        with unchanging(self.model):
            for _ in range(EXAMPLES):
                x_1CHW = torch.rand((1, *self.input_shape), generator=generator)
                logits = self._run(x_1CHW, look, {})
            self._see_two(x_1CHW, calls)
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            raise no_logits([tuple(logits.shape) if isinstance(logits, Tensor) else None])
        return list(calls.values()), int(logits.shape[1])

    def _see_two(self, x_1CHW: Tensor, calls: Mapping[tuple[str, int], _Call]) -> None:
        """Record output shapes for a batch of two, where the model accepts one."""
        shapes: dict[tuple[str, int], tuple[int, ...]] = {}

        def look(path: str, number: int, module: nn.Module, value_in: Tensor, value: Tensor) -> Tensor:
            shapes[path, number] = tuple(value.shape)
            return value

        try:
            self._run(x_1CHW.repeat(2, *[1] * len(self.input_shape)), look, {})
        except Exception:  # the model may accept single images only; the shapes stay unknown
            return
        for key, shape in shapes.items():
            if key in calls:
                calls[key].shape_of_two = shape

    def _work(self, value: Tensor, calls: Sequence[_Call]) -> int:
        """Return the multiply-accumulates of the modules that use a tensor, directly or through a parametrization."""
        holders = {
            path
            for path, module in self._modules.items()
            if any(own is value for own in (*module.parameters(), *module.buffers()))
        }
        return sum(call.macs for call in calls if call.path in holders)


def _replaced(value: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Return a module's output after a function of it as one row, with its shape and strides."""
    new = function(value.reshape(1, -1)).reshape(value.shape)
    return new if new.stride() == value.stride() else torch.empty_like(value).copy_(new)


def _macs(module: nn.Module, value_in: Tensor, value: Tensor) -> int:
    """Return a call's MACs: output elements (input elements, if transposed) × weights per element."""
    worked = value_in if isinstance(module, _ConvTransposeNd) else value
    weight = module.weight
    assert isinstance(weight, Tensor)
    return worked.numel() * math.prod(weight.shape[1:])


def _site(call: _Call, *, several: bool) -> Site:
    """Return the site of a call; it is per image if its output has a batch axis.

    The axis that doubles for a batch of two is the batch axis. Where the model rejects a batch of two, an output that
    is equal for all examples counts as shared.
    """
    first, *others = call.outputs
    name = f"{call.path}#{call.number}" if several else call.path
    shape, two = list(first.shape), call.shape_of_two
    if two is None or len(two) != len(shape):
        shape = shape[1:] if shape[0] == 1 and len(shape) > 1 else shape
        shared = bool(others) and all(torch.equal(first, other) for other in others)
        return Site(name, call.op, tuple(shape), call.macs, per_image=not shared)
    doubled = [axis for axis, size in enumerate(shape) if two[axis] == 2 * size]
    if doubled and shape[doubled[0]] == 1:
        del shape[doubled[0]]
    return Site(name, call.op, tuple(shape), call.macs, per_image=bool(doubled))


def _advice(model: nn.Module) -> str:
    """Return advice for a model without a module to inject into."""
    quantised = [path for path, part in model.named_modules() if type(part).__module__.startswith(QUANTISED)]
    if not quantised:
        return "choose others"
    shown = f"{', '.join(quantised[:SHOWN])}{', …' if quantised[SHOWN:] else ''}"
    return (
        f"faults cannot be injected into its quantised modules ({shown}): "
        'inject into the network before quantisation; "tgr evaluate" takes the quantised one'
    )
