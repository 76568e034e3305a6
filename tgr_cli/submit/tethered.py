"""Runs tgr in a process that ends at once when the process that started it is gone, however that ended.

    python -m tgr_cli.submit.tethered inject …

Its standard input is a pipe that the other process holds open and writes nothing to.
"""

import os
import runpy
import sys
import threading


def _end_with_the_pipe() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_pipe, daemon=True).start()
    sys.argv[0] = "tgr"
    runpy.run_module("tgr_cli", run_name="__main__")
