"""Measure the overhead of the client of `tgr describe`: 5,000 answers from a server that answers at once.

python benchmarks/describe_client.py [--concurrency 64] [--repeats 3]

The server is a separate process on loopback. For each run this prints the seconds, answers per second, CPU seconds of
this process, and the growth of its peak memory from the 1,000th answer to the last.
"""

import argparse
import asyncio
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

from tgr_cli.data.source import DataSource
from tgr_cli.reporting import Reporter
from tgr_cli.steps import describe
from tgr_cli.text.endpoint import Endpoint

SENTENCE = (
    "It has a long body of a plain colour, four short legs, and a tail that is as thin as it is long, over grass."
)
ANSWER = {
    "choices": [{"message": {"role": "assistant", "content": SENTENCE}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 40, "completion_tokens": 30},
}


async def answer_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    body = json.dumps(ANSWER).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            writer.write(answer)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def serve(ports: "multiprocessing.Queue[int]") -> None:
    async def run() -> None:
        server = await asyncio.start_server(answer_at_once, "127.0.0.1", 0, backlog=512)
        ports.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def peak_mib() -> float:
    """Return the peak memory of this process in MiB (ru_maxrss is in KiB on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Peaks(Reporter):
    """Records the peak memory after a fifth of the answers, and after all."""

    def __init__(self) -> None:
        self.early = self.late = 0.0

    def progress(self, what: str, done: int, total: int, detail: str = "") -> None:
        if done == total // 5:
            self.early = peak_mib()
        elif done == total:
            self.late = peak_mib()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    ports: multiprocessing.Queue[int] = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(ports,), daemon=True)
    server.start()
    endpoint = Endpoint(base_url=f"http://127.0.0.1:{ports.get()}/v1", llm="toy", concurrency=options.concurrency)
    for repeat in range(1, options.repeats + 1):
        peaks = Peaks()
        with tempfile.TemporaryDirectory() as folder:
            config = describe.Config(data=DataSource(), endpoint=endpoint, workdir=Path(folder))
            started, used = time.perf_counter(), time.process_time()
            result = describe.run(config, peaks)
            seconds, used = time.perf_counter() - started, time.process_time() - used
        answers = len(result.descriptions) - len(result.missing)
        print(
            f"run {repeat}: {answers:,} answers, concurrency {options.concurrency}: {seconds:.1f} s, "
            f"{answers / seconds:,.0f} a second, {used:.1f} s of processor time, "
            f"peak while asking {peaks.late:.0f} MiB, {peaks.late - peaks.early:.1f} MiB above that of the first fifth"
        )
    server.terminate()


if __name__ == "__main__":
    main()
