"""Runs tasks on a Ray cluster, one shard a task; their parts are sent here as they are finished.

A shard, not a unit, is the task: a node then reads the model and the images once for many units, and since each unit is
sent back when it is finished, a worker or node that dies still costs no more than the unit in work.
"""

import logging
import shutil
import socket
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tgr_cli
from tgr_cli.artifacts import store
from tgr_cli.errors import TgrError, first_line
from tgr_cli.reporting import Reporter
from tgr_cli.submit import ray_node
from tgr_cli.submit.division import Division, Task
from tgr_cli.submit.runner import Resources, Runner

TO_CONNECT = 10.0  # seconds
TO_ANSWER = 60.0  # seconds that a node has to say which tgr it has


class Ray(Runner):
    """Tasks on the cluster at `address`; they end when this process does, and what they had finished is here.

    `working_dir` is a folder, or the address of an archive, that each node fetches once; None: nodes see this folder.
    """

    pause, settling, outlives = 0.5, 0.0, False

    def __init__(
        self, address: str, working_dir: str | None, division: Division, resources: Resources, reporter: Reporter
    ) -> None:
        super().__init__(reporter)
        self._address, self._working_dir, self._resources = address, working_dir, resources
        self._place = None if working_dir else str(Path.cwd())
        apart = replace(division, folder=Path(ray_node.SCRATCH))
        self._words = {task.number: task.words for task in (apart.plan_task, *apart.shards) if task}
        self._plan = division.plan_task and division.plan_path
        self._plan_stored: Any = None  # in Ray's object store
        self._running: dict[int, Any] = {}
        self._nodes: dict[int, str] = {}

    def refuse(self) -> None:
        if find_spec("ray") is None:
            raise TgrError("--ray needs the package ray; run: pip install 'tgr[ray]'")
        self._refuse_unanswered()
        import ray

        runtime = {"working_dir": self._working_dir} if self._working_dir else None
        try:
            ray.init(
                address=self._address,
                runtime_env=runtime,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                ignore_reinit_error=True,
            )
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise self._unreached(error) from error
        nodes = [node for node in ray.nodes() if node["Alive"]]
        self._refuse_too_small(nodes)
        self._refuse_unlike(nodes)

    def _refuse_unanswered(self) -> None:
        """Raise TgrError for an address where nothing listens, on which Ray waits for minutes."""
        if self._address.startswith("ray://"):
            raise TgrError(
                f"--ray {self._address} is for Ray's client, which cannot stream results; run tgr submit on a node "
                "of the cluster, with --ray auto"
            )
        host, colon, port = self._address.rpartition(":")
        if not (colon and port.isdecimal()):
            return  # "auto", "local": Ray knows at once
        try:
            socket.create_connection((host, int(port)), timeout=TO_CONNECT).close()
        except (OSError, OverflowError, ValueError) as error:
            raise self._unreached(error) from error

    def _unreached(self, error: Exception) -> TgrError:
        return TgrError(
            f"--ray {self._address} reaches no Ray cluster: {first_line(error)}; start one with ray start --head, or "
            "give its address, as 10.0.0.1:6379"
        )

    def _refuse_too_small(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        wanted = {"CPU": self._resources.cpus or 1, "GPU": self._resources.gpus or 0}
        if not any(all(node["Resources"].get(kind, 0) >= n for kind, n in wanted.items()) for node in nodes):
            raise TgrError(
                f"no node of the Ray cluster has {wanted['CPU']} CPUs and {wanted['GPU']} GPUs, as a task is to "
                "get; lower --cpus and --gpus"
            )

    def _refuse_unlike(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        """Raise TgrError for a node with another tgr, or one that does not see the folder of the campaign."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        seen = ray.remote(num_cpus=0, max_retries=0)(ray_node.seen)
        asked = [
            seen.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
                self._place
            )
            for node in nodes
        ]
        try:
            answers = ray.get(asked, timeout=TO_ANSWER)
        except (ray.exceptions.RayError, TimeoutError) as error:
            raise TgrError(
                f"a node of the Ray cluster cannot run tgr: {first_line(error)}; install tgr {tgr_cli.__version__} on "
                "every node"
            ) from error
        for name, version, sees in answers:
            if version != tgr_cli.__version__:
                raise TgrError(
                    f"the Ray node {name} has tgr {version}, and this machine {tgr_cli.__version__}; install the same"
                )
            if not sees:
                raise TgrError(
                    f"the Ray node {name} does not see {self._place}; share the folder, or send it to every node with "
                    "--working-dir ."
                )

    def alive(self, tasks: Collection[Task]) -> Mapping[int, str]:
        for task in tasks:
            if task.number in self._running:
                self._receive(task)
        return {
            task.number: "running" if task.number in self._nodes else "pending"
            for task in tasks
            if task.number in self._running
        }

    def start(self, tasks: Sequence[Task]) -> Sequence[Task]:
        import ray

        if self._plan and self._plan_stored is None and self._plan.exists():
            self._plan_stored = ray.put(self._plan.read_bytes())
        threads = self._resources.cpus or 1
        remote = ray.remote(num_cpus=threads, num_gpus=self._resources.gpus or 0, max_retries=0)(ray_node.work)
        for task in tasks:
            work = ray_node.Work(
                words=self._words[task.number],
                files=_kept(task),
                place=self._place,
                environment=ray_node.environment(threads),
            )
            self._running[task.number] = remote.options(num_returns="streaming").remote(work, self._plan_stored)
        return tasks

    def cancel(self, tasks: Collection[Task]) -> None:
        import ray

        for task in tasks:
            if running := self._running.pop(task.number, None):
                ray.cancel(running, force=True)

    def _receive(self, task: Task) -> None:
        """Store what a task has sent since the last look."""
        import ray

        stream = self._running[task.number]
        try:
            while ray.wait([stream], timeout=0)[0]:
                path, content = ray.get(next(stream))
                if path:
                    _store(task, path, content)
                else:
                    self._nodes[task.number] = content.decode()
        except StopIteration:
            self._end(task)
        except ray.exceptions.RayError as error:
            task.log.parent.mkdir(parents=True, exist_ok=True)
            with task.log.open("a", encoding="utf-8") as log:
                log.write(f"Ray, node {self._nodes.get(task.number, 'unknown')}: {first_line(error)}\n")
            self._end(task)

    def _end(self, task: Task) -> None:
        del self._running[task.number]
        self._nodes.pop(task.number, None)
        if task.output.exists():
            with suppress(FileNotFoundError):
                shutil.rmtree(task.parts)


def _kept(task: Task) -> dict[str, bytes]:
    """Return the parts of a task that were finished before, by their path in its folder."""
    files = task.parts.glob("*") if task.parts.is_dir() else ()
    return {
        str(path.relative_to(task.parts.parent)): path.read_bytes()
        for path in files
        if path.is_file() and path.name != "lock" and not path.name.startswith(".")
    }


def _store(task: Task, path: str, content: bytes) -> None:
    where = task.log if path == "log" else task.output.parent / path
    where.parent.mkdir(parents=True, exist_ok=True)
    with store.replacing(where) as temporary:
        temporary.write_bytes(content)
