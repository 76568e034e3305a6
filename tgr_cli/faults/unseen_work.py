"""Measures the work of a network outside its sites: recurrent layers, products of activations, custom operations.

Sites are convolutions, linear layers and, on request, products of activations. Results over the sites say nothing about
the rest, so its share of the multiply-accumulates is measured and reported.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules import module as hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from tgr_cli.faults.export import without_fast_path
from tgr_cli.faults.sites import Site

aten = torch.ops.aten
SHOWN = 3
MATRIX_VECTOR = {aten.mv: 0, aten.addmv: 1, aten.dot: 0}  # index of the argument with one MAC per element
WITHOUT_WORK = (
    "aten",
    "prims",
    "prim",
    "profiler",
    "_c10d_functional",
    "tgr",  # the guards of a protected model, whose own work is not the network's
)  # operations of other namespaces are reported as uncounted
OTHER_WORK = (
    "_fft",
    "_cdist",
    "grid_sampler",
    "_linalg_",
    "linalg_lu",
    "linalg_qr",
    "quantized_lstm",
    "quantized_gru",
    "quantized_rnn",
)  # not multiply-accumulates, so not counted


@dataclass(frozen=True)
class UnseenWork:
    """Multiply-accumulates per image: of the whole network, and of each place without a site, largest first.

    `uncounted` names operations of unknown work.
    """

    macs: int
    places: tuple[tuple[str, int], ...]
    uncounted: tuple[str, ...]

    @property
    def unseen(self) -> int:
        """Return the multiply-accumulates outside the sites."""
        return sum(macs for _, macs in self.places)

    @property
    def share(self) -> float:
        """Return the share of the network's multiply-accumulates that lies outside the sites, in [0, 1]."""
        return self.unseen / self.macs if self.macs else 0.0

    @property
    def facts(self) -> dict[str, Any]:
        """Return the entry for an artifact's metadata; empty if all work is at sites."""
        if not (self.places or self.uncounted):
            return {}
        return {"unseen_work": {"macs": self.unseen, "of": self.macs, "uncounted": list(self.uncounted)}}

    def sentence(self, targets: str) -> str | None:
        """Return a sentence for the user, or None if all work is at sites; `targets` are the kinds of sites."""
        parts = []
        if self.places:
            names = ", ".join(f"{name} ({macs:,})" for name, macs in self.places[:SHOWN])
            more = f" and {len(self.places) - SHOWN} more" if len(self.places) > SHOWN else ""
            permille = math.floor(self.share * 1000)  # round down: 100 % only if it is all of it
            share = f"{permille / 10:g} %" if permille else "under 0.1 %"
            parts.append(
                f"{share} of the network's {self.macs:,} multiply-accumulates an image are in operations that no fault "
                f"strikes: {names}{more}"
            )
            if "matmul" not in targets and any("attention" in name.lower() for name, _ in self.places):
                parts.append("add matmul to --targets to strike products of activations")
        if self.uncounted:
            parts.append(f"no fault strikes {', '.join(self.uncounted)}, whose work is not counted")
        return "; ".join(parts) or None


def unseen_work(model: nn.Module, shape_CHW: Sequence[int], sites: Sequence[Site]) -> UnseenWork:
    """Return the work of `model` (in evaluation mode) on one blank image that lies outside `sites`."""
    tensor = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    with _Counting(model) as counting, torch.no_grad():
        model(torch.zeros(1, *shape_CHW, dtype=tensor.dtype, device=tensor.device))
    left = Counter(counting.macs)
    for site in sites:
        _take(left, site.name.partition("#")[0], site.macs)
    modules = dict(model.named_modules())
    places = [(_named(path, modules), macs) for path, macs in left.most_common() if macs > 0]
    return UnseenWork(sum(counting.macs.values()), tuple(places), tuple(sorted(counting.uncounted)))


def _take(left: Counter[str], path: str, macs: int) -> None:
    """Subtract a site's MACs from its own module, or from an enclosing one that uses its weight."""
    while macs and path:
        taken = min(left[path], macs)
        left[path] -= taken
        macs -= taken
        path = path.rpartition(".")[0]
    left[""] -= min(left[""], macs)


def _named(path: str, modules: dict[str, nn.Module]) -> str:
    kind = type(modules[path]).__name__ if path in modules else "function"
    return f"{kind} {path}" if path else f"functions in {kind}"


@contextmanager
def _without_onednn() -> Iterator[None]:
    # torch.backends.mkldnn.flags would also set a flag for Intel GPUs, which warns on other machines.
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


class _Counting(TorchDispatchMode):
    """Counts multiply-accumulates by the path of the innermost running module; fused kernels are decomposed."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.macs: Counter[str] = Counter()
        self.uncounted: set[str] = set()
        self._paths = {id(part): path for path, part in model.named_modules()}
        self._running = [""]
        self._stack = ExitStack()

    def __enter__(self) -> "_Counting":
        self._stack.enter_context(without_fast_path())
        self._stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        # These libraries run a recurrent layer as one kernel; disable them to see its matrix products.
        self._stack.enter_context(_without_onednn())
        if torch.backends.cudnn.is_available():
            self._stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        self._stack.enter_context(self._following())
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._stack.close()

    @contextmanager
    def _following(self) -> Iterator[None]:
        def enter(module: nn.Module, _: Any) -> None:
            self._running.append(self._paths.get(id(module), self._running[-1]))

        def leave(*_: Any) -> None:
            self._running.pop()

        handles = [
            hooks.register_module_forward_pre_hook(enter),
            hooks.register_module_forward_hook(leave, always_call=True),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _add(self, macs: int) -> None:
        self.macs[self._running[-1]] += macs

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func._overloadpacket
        if packet in flop_registry:
            self._add(flop_registry[packet](*args, **kwargs, out_val=out) // 2)
        elif packet in MATRIX_VECTOR:
            self._add(args[MATRIX_VECTOR[packet]].numel())
        elif func.namespace == "quantized" and isinstance(out, Tensor) and "linear" in packet.__name__:
            self._add(out.numel() * args[0].shape[-1])
        elif func.namespace == "quantized" and isinstance(out, Tensor) and "conv" in packet.__name__:
            weight = args[1].unpack()[0]
            # each of these elements is multiplied with the weights of one channel
            steps = args[0] if "transpose" in packet.__name__ else out
            self._add(steps.numel() * weight[0].numel())
        elif func.namespace not in WITHOUT_WORK or packet.__name__.startswith(OTHER_WORK):
            self.uncounted.add(f"{func.namespace}::{packet.__name__}")
        return out
