"""How this process gets memory for tensors: in huge pages, and kept for the next tensor once it is freed.

glibc returns a freed tensor's memory to the system, and the kernel clears every page of the next one. On activations,
which are as quickly freed as computed, that takes up to a fifth of a campaign's time.
"""

import ctypes
import os
from collections.abc import Callable

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"  # torch, when it is imported, asks the kernel for huge pages
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # see "man mallopt"
# By these, users set themselves when glibc returns memory.
OWN_SETTINGS = {
    "GLIBC_TUNABLES",
    *("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_"),
}


def keep_memory() -> None:
    """Take memory in huge pages and keep what is freed; to be called before torch is imported.

    What is freed is kept only with glibc, and unless one of `OWN_SETTINGS` is in the environment.
    """
    os.environ.setdefault(HUGE_PAGES, "1")
    if mallopt := _of_glibc("mallopt"):
        mallopt(M_MMAP_MAX, 0)  # memory from mmap is returned as soon as it is freed, so take none from there
        mallopt(M_TRIM_THRESHOLD, -1)  # as an unsigned number the largest: never return the end of the heap


def release_memory() -> None:
    """Return what is freed to the system, as before a fork: of kept memory every child would get a copy."""
    if trim := _of_glibc("malloc_trim"):
        trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    if os.name == "nt" or not OWN_SETTINGS.isdisjoint(os.environ):
        return None
    return getattr(ctypes.CDLL(None), name, None)
