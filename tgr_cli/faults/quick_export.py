"""Makes `run_decompositions` of torch.export about twice as fast, with the same result.

In every capture torch lists its operators once for each of its thirty namespaces, and registers 11,000 functions
through a decorator that evaluates type hints each time. Here they are listed once and registered directly. Both
functions are internal to torch; if a version lacks them, torch's own code is used.
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
        if listing is not None:  # no operator is defined between two listings of one capture
            stack.enter_context(patch.object(utils, "_materialize_cpp_cia_ops", cache(listing)))
        operator = getattr(_ops, "OperatorBase", None)
        registering = getattr(operator, "py_impl", None)
        if registering is not None:
            stack.enter_context(patch.object(operator, "py_impl", _plain(registering)))
        yield


def _plain(registering: Registering) -> Registering:
    """Return `py_impl` with a fast path for functions registered for a new dispatch key; others use torch's own."""

    def py_impl(operator: Any, key: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        if type(key) is not DispatchKey or key == DispatchKey.Python or key in operator.py_kernels:
            return registering(operator, key)
        return partial(_register, operator, key)

    return py_impl


def _register(operator: Any, key: DispatchKey, function: Callable[..., Any]) -> Callable[..., Any]:
    operator.py_kernels[key] = function
    operator._dispatch_cache.clear()
    return function
