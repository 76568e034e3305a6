"""A real S3 server on loopback, and processes that are killed while they write to it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from processes import command_line

from tgr_cli.storage import recent, remote, stores

BUCKET = "campaigns"


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Serve S3 with one empty bucket; provide the environment variables by which clients find it."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        yield settings
    finally:
        server.stop()


def forget() -> None:
    """Forget the clients that this process has made, and the buckets that they have found."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    stores.file_system.cache_clear()
    remote._buckets.clear()
    recent.forget()


def tgr_after(puts: int, *arguments: str) -> None:
    """Run `tgr ARGUMENTS`, and SIGKILL it when it has stored so many files and is about to store another."""
    left, publish = puts, remote.publish

    def counted(*of: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        publish(*of)

    remote.publish = counted
    command_line(*arguments)
