"""Memory that is freed stays with the process, unless the user has set the allocator."""

import os
import platform
import subprocess
import sys

import pytest

FREES = """
import os, sys
from contextlib import suppress
from tgr_cli.allocator import keep_memory, release_memory

def resident():
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1])

def command():
    from tgr_cli.app import main
    sys.argv = ["tgr", "--version"]
    with suppress(SystemExit):
        main()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "1" and "torch" not in sys.modules

if sys.argv[1] in ("keep", "release"):
    keep_memory()
elif sys.argv[1] == "command":
    command()
releases = sys.argv[1] == "release"
before = resident()
held = bytearray(256 << 20)
held = None
if releases:
    release_memory()
print(resident() - before)
"""
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps or returns as it likes")


def kept_after_freeing(argument: str, **settings: str) -> int:
    """Return by how many KiB a process has grown after it has taken and freed 256 MiB."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", FREES, argument],
        env=environment | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout.split()[-1])


@glibc
def test_freed_memory_is_kept() -> None:
    assert kept_after_freeing("keep") > 200 << 10
    assert kept_after_freeing("command") > 200 << 10
    assert kept_after_freeing("release") < 50 << 10
    assert kept_after_freeing("as it is") < 50 << 10


@glibc
@pytest.mark.parametrize("name", ["GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_"])
def test_a_users_own_settings_stand(name: str) -> None:
    value = "glibc.malloc.trim_threshold=131072" if name == "GLIBC_TUNABLES" else "131072"
    assert kept_after_freeing("keep", **{name: value}) < 50 << 10
