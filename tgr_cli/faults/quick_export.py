"""Makes `run_decompositions` of torch.export about twice as fast, without another result.

For every capture torch lists its operators once for each of its thirty namespaces, and registers 11,000 functions
through a decorator that evaluates type hints each time. Here it lists them once and registers plainly. Both places are
internal to torch: in a version that has them elsewhere, everything runs as torch wrote it.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from typing import Any
from unittest.mock import patch

from torch import _ops
from torch._C import DispatchKey
from torch._export import utils

Registering = Callable[[Any, Any], Callable[[Callable[..., Any]], Callable[..., Any]]]


@contextmanager
def quick() -> Iterator[None]:
    """Speed up `ExportedProgram.run_decompositions` within the block."""
    with ExitStack() as stack:
        listing = getattr(utils, "_materialize_cpp_cia_ops", None)
        if listing is not None:  # nothing is defined between two namespaces of one capture
            stack.enter_context(patch.object(utils, "_materialize_cpp_cia_ops", cache(listing)))
        operator = getattr(_ops, "OperatorBase", None)
        registering = getattr(operator, "py_impl", None)
        if registering is not None:
            stack.enter_context(patch.object(operator, "py_impl", _plain(registering)))
        yield


def _plain(registering: Registering) -> Registering:
    """Return `py_impl` for the usual case, a function for a new dispatch key; torch's own sees to every other."""

    def py_impl(operator: Any, key: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        if type(key) is not DispatchKey or key == DispatchKey.Python or key in operator.py_kernels:
            return registering(operator, key)
        return partial(_register, operator, key)

    return py_impl


def _register(operator: Any, key: DispatchKey, function: Callable[..., Any]) -> Callable[..., Any]:
    operator.py_kernels[key] = function
    operator._dispatch_cache.clear()
    return function
