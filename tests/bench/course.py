"""A course: tasks sent through a running cluster, so many at once, each timed to its end.

The end of a task is the line that `results` logs once all is done: after its commit, where there is
one. Both pipelines write it, so seeing it costs both the same; its time is in whole milliseconds,
of which half of one is made up for.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from emulators.cluster import Cluster

ORDER = {"agent": "light", "payload": {"msg": "hi"}, "ttlSeconds": 600, "budgetCents": 10}
BODY = json.dumps(ORDER).encode()
HEADERS = {"Content-Type": "application/json"}
LOOK = 0.001  # seconds between two looks into the log
PATIENCE = 60.0  # seconds that a task may take
CUT = 0.0005  # seconds: what a time in whole milliseconds lacks on average


@dataclass(frozen=True, kw_only=True)
class Lap:
    """So many tasks, one after the other or at once."""

    latencies: list[float]  # seconds from the request to the end
    seconds: float  # from the first request to the last end
    cpu: float  # seconds that the cluster's own processes took: functions, gateway and bridge

    @property
    def throughput(self) -> float:
        """Tasks a second."""
        return len(self.latencies) / self.seconds


class Course:
    """One pipeline."""

    def __init__(self, name: str, cluster: Cluster, finish: Finish) -> None:
        self.name = name
        self._cluster = cluster
        self._finish = finish

    def lap(self, tasks: int, in_flight: int) -> Lap:
        """Runs them; raises TimeoutError where one does not end."""
        left = iter(range(tasks))
        lock = threading.Lock()
        times: list[tuple[float, float]] = []

        port = self._cluster.layout.ports.gateway

        def work() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            while True:
                with lock:
                    if next(left, None) is None:
                        break
                times.append(self._timed(connection))
            connection.close()

        before = self._cpu()
        with ThreadPoolExecutor(in_flight) as pool:
            for worker in [pool.submit(work) for _ in range(in_flight)]:
                worker.result()
        starts, ends = zip(*times, strict=True)
        return Lap(
            latencies=[end - start for start, end in times],
            seconds=max(ends) - min(starts),
            cpu=self._cpu() - before,
        )

    def _cpu(self) -> float:
        """Seconds of CPU that the processes of the cluster have taken so far."""
        groups = {self._cluster.pid(name) for name in (*self._cluster.layout.internal, "edge")}
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended meanwhile
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[2]) in groups:
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def _timed(self, connection: http.client.HTTPConnection) -> tuple[float, float]:
        """When a task began and ended, in seconds since the epoch."""
        began = time.time()
        connection.request("POST", "/dispatch", BODY, HEADERS)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 202:
            raise RuntimeError(f"{self.name}: {answer.status} {text.decode()}")
        return began, self._finish.of(json.loads(text)["taskId"])


class Finish:
    """The ends of tasks, as the log of `results` tells them."""

    def __init__(self, cluster: Cluster) -> None:
        self._log = cluster.log("results")
        self._lock = threading.Lock()
        self._ends: dict[str, float] = {}
        self._awaited: dict[str, threading.Event] = {}
        self._stopped = threading.Event()

    def of(self, task_id: str) -> float:
        """When a task ended, in seconds since the epoch; waits for it."""
        with self._lock:
            if task_id in self._ends:
                return self._ends.pop(task_id)
            event = self._awaited[task_id] = threading.Event()
        if not event.wait(PATIENCE):
            raise TimeoutError(f"task {task_id} does not end; see {self._log}")
        return self._ends.pop(task_id)

    def watch(self) -> None:
        """Reads on until it is stopped."""
        with self._log.open() as lines:
            rest = ""
            while not self._stopped.is_set():
                rest += lines.read()
                *whole, rest = rest.split("\n")
                for line in whole:
                    if '"succeeded"' in line:
                        self._note(json.loads(line))
                time.sleep(LOOK)

    def stop(self) -> None:
        """Ends `watch`."""
        self._stopped.set()

    def _note(self, entry: dict[str, str]) -> None:
        ended = datetime.fromisoformat(entry["time"]).timestamp() + CUT
        with self._lock:
            self._ends[entry["taskId"]] = ended
            event = self._awaited.pop(entry["taskId"], None)
        if event:
            event.set()


@contextmanager
def ready(name: str, cluster: Cluster) -> Iterator[Course]:
    """The course through a cluster that is started for it."""
    with cluster:
        finish = Finish(cluster)
        watching = threading.Thread(target=finish.watch, daemon=True)
        watching.start()
        try:
            yield Course(name, cluster, finish)
        finally:
            finish.stop()
            watching.join()
