"""Downloads of pretrained weights: short timeouts, and no unpickling of arbitrary objects."""

import contextlib
import io
import os
import pickle
import socket
from collections.abc import Iterator

from tgr_cli.errors import TgrError

SECONDS_TO_CONNECT = 10


@contextlib.contextmanager
def fetching(what: str) -> Iterator[None]:
    """Context manager around a library's download or cache read; raises TgrError where that fails.

    Inside it `torch.load` uses `weights_only=True` whatever the library asks for, connections time out after ten
    seconds without an answer, and the library's stdout and stderr are discarded.
    """
    timeout, forced = socket.getdefaulttimeout(), os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
    socket.setdefaulttimeout(SECONDS_TO_CONNECT)
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).strip().split("\n")[0].split(". ")[0].rstrip(".") or type(error).__name__
        raise TgrError(
            f"{what} could not be fetched ({reason}); connect to a network, or give --checkpoint FILE "
            "or --weights none for random weights"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)
        if forced is None:
            del os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"]
        else:
            os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = forced


@contextlib.contextmanager
def hugging_face() -> Iterator[None]:
    """Context manager for calls to the Hugging Face hub; offline mode (cache only) if the hub does not answer.

    Otherwise the client retries each file six times over 23 seconds before it looks into its cache.
    """
    import httpx
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        yield
        return
    try:
        httpx.head(constants.ENDPOINT, timeout=SECONDS_TO_CONNECT)
    except httpx.TransportError:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = False
