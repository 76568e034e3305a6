"""How this process gets memory for tensors: in huge pages, and kept for the next tensor once it is freed.

glibc returns a freed tensor's memory to the system, and the kernel clears every page of the next one. On activations,
which are as quickly freed as computed, that takes up to a fifth of a campaign's time.
"""

import ctypes
import os

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"  # torch, when it is imported, asks the kernel for huge pages
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt, in glibc's malloc.h
OWN_SETTINGS = ("GLIBC_TUNABLES", "MALLOC_")  # prefixes of the variables by which users set glibc's allocator


def keep_memory() -> None:
    """Take memory in huge pages and keep what is freed; to be called before torch is imported.

    What is freed is kept only with glibc, and unless the user has set its allocator by environment variables.
    """
    os.environ.setdefault(HUGE_PAGES, "1")
    mallopt = None if os.name == "nt" else getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or any(name.startswith(OWN_SETTINGS) for name in os.environ):
        return
    mallopt(M_MMAP_MAX, 0)  # memory from mmap is returned as soon as it is freed, so take none from there
    mallopt(M_TRIM_THRESHOLD, -1)  # never
