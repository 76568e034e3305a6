"""Run a campaign that lies in S3 alone, with a node killed and a line cut, and compare it with one on this machine.

    pip install "tgr[cloud]" "moto[s3]" flask flask-cors
    python benchmarks/s3_on_loopback.py -- --model digits_cnn --dataset digits --weights none --label golden

The server is moto's, on loopback. Of three shards one is killed with SIGKILL and one loses its line in the middle of an
upload; both are run again. What is printed: seconds, requests to the server, and whether the bytes are equal.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

BUCKET = "bucket"
KEPT = 3  # units that are stored before a shard is killed, or its line cut


class Line:
    """A line to a server that counts requests; once `cut`, it carries half of what is sent, and closes."""

    def __init__(self, port: int, *, whole_units: float = float("inf")) -> None:
        self.requests, self._left, self._port = 0, whole_units, port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            client, _ = self._listening.accept()
            server = socket.create_connection(("127.0.0.1", self._port))
            threading.Thread(target=self._there, args=(client, server), daemon=True).start()
            threading.Thread(target=self._back, args=(client, server), daemon=True).start()

    def _back(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while sent := server.recv(2**16):
                client.sendall(sent)

    def _there(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError), client, server:
            while sent := client.recv(2**16):
                first = sent.split(b"\r\n", 1)[0]
                self.requests += first.endswith(b"HTTP/1.1")
                self._left -= first.startswith(b"PUT") and b"/unit-" in first
                if self._left < 0:
                    server.sendall(sent[: len(sent) // 2])
                    return
                server.sendall(sent)


def tgr(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start `tgr ARGUMENTS`."""
    called, quiet = [sys.executable, "-m", "tgr_cli", *arguments], subprocess.DEVNULL
    return subprocess.Popen(called, env={**os.environ, **environment}, text=True, stdout=quiet, stderr=subprocess.PIPE)


def timed(what: str, line: Line, *arguments: str) -> None:
    """Run `tgr ARGUMENTS` over a line, and print how long it took."""
    began, before = time.perf_counter(), line.requests
    process = tgr(*arguments, AWS_ENDPOINT_URL=line.address)
    _, told = process.communicate()
    print(
        f"| {what} | {time.perf_counter() - began:.1f} | {line.requests - before} | {process.returncode} |", flush=True
    )
    if process.returncode:
        print(f"\n    {told.strip().splitlines()[-1]}\n")


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inject", nargs="+", help="the options of tgr inject, after --")
    options = [*parser.parse_args(arguments).inject, "-q"]

    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    files = s3fs.S3FileSystem(endpoint_url=f"http://127.0.0.1:{port}", use_listings_cache=False)
    files.mkdir(BUCKET)
    there, plan = ("--workdir", f"s3://{BUCKET}/runs"), f"s3://{BUCKET}/plan.parquet"
    print("| command | seconds | requests | exit code |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        line = Line(port)
        timed("the campaign on this machine", line, "inject", *options)
        timed("the same in S3", line, "inject", *options, "--workdir", f"s3://{BUCKET}/alone")
        timed("plan", line, "inject", *options, *there, "--plan-only", "--out", plan)
        shards = [["inject", *options, *there, "--plan", plan, "--shard", f"{number}/3"] for number in (1, 2, 3)]
        timed("shard 1/3", line, *shards[0])
        timed(f"shard 2/3, its line cut after {KEPT} units", Line(port, whole_units=KEPT), *shards[1])
        timed("shard 2/3 again", line, *shards[1])
        killed = tgr(*shards[2], AWS_ENDPOINT_URL=line.address)
        while len(files.glob(f"{BUCKET}/runs/**/injections-3-of-3.parts/unit-*")) < KEPT and killed.poll() is None:
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        print(f"| shard 3/3, killed after {KEPT} units | | | {killed.wait()} |")
        timed("shard 3/3 again", line, *shards[2])
        (shard,) = files.glob(f"{BUCKET}/runs/**/injections-1-of-3.parquet")
        run = f"s3://{shard.rpartition('/')[0]}"
        timed("merge", line, "merge", run, "-q")
        timed("report", line, "report", "--leaderboard", f"s3://{BUCKET}/runs", "-q")
        for name in ("injections", "vulnerability"):
            (whole,) = Path("runs").rglob(f"{name}.parquet")
            same = {files.cat_file(key) == whole.read_bytes() for key in files.glob(f"{BUCKET}/**/{name}.parquet")}
            print(f"\n{name}: {'equal' if same == {True} else 'DIFFERENT'} bytes")
    server.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
