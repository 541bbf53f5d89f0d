"""A world in one process: the real functions and rules, a bus that is delivered by hand.

Time moves when a test says so. A process that dies is an exception that nothing catches.
"""

from __future__ import annotations

import base64
import importlib.util
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import flask

from shared import config, errors, runtime
from shared.agent import agent
from shared.clock import SECOND
from shared.storage.bus import Bus
from shared.storage.sqlite.bus import Delivery, Queue
from shared.storage.sqlite.store import EmbeddedStore
from shared.storage.store import Document, Query, Store, Total, Write
from shared.tasks import record
from shared.tasks.record import Task

FUNCTIONS = Path(__file__).parents[2] / "functions"
HOURS = 3600.0  # seconds
MOST_DELIVERIES = 2000  # rounds of them, until somebody is taken to refuse for ever
APP = flask.Flask("world")

Entrypoint = Callable[[flask.Request], flask.Response]


class Killed(BaseException):
    """The process died here; what it was handed comes again."""


class Witness:
    """A store that counts, tells of every commit, and lets a process die around one."""

    def __init__(self, store: Store) -> None:
        self.inner = store
        self.counts: Counter[str] = Counter()
        self.before: Callable[[Sequence[Write]], None] = lambda _: None
        self.after: Callable[[Sequence[Write], int], None] = lambda *_: None

    def get(self, path: str) -> Document:
        self.counts["get"] += 1
        return self.inner.get(path)

    def commit(self, writes: Sequence[Write]) -> int:
        self.before(writes)
        try:
            version = self.inner.commit(writes)
        except errors.Conflict:
            self.counts["conflict"] += 1
            raise
        self.counts["commit"] += 1
        self.counts["write"] += len(writes)
        self.after(writes, version)
        return version

    def query(self, query: Query) -> list[Document]:
        self.counts["query"] += 1
        return self.inner.query(query)

    def total(self, query: Query, sum_field: str) -> Total:
        return self.inner.total(query, sum_field)

    def wait(self, path: str, until: Callable[[Document], bool], seconds: float) -> Document:
        return self.inner.wait(path, until, seconds)


class World:
    """Agents, and the functions around them."""

    def __init__(
        self,
        folder: Path,
        agents: Mapping[str, Entrypoint],
        *,
        store: Store | None = None,
        environ: Mapping[str, str] | None = None,
        seed: int = 0,
    ) -> None:
        names = ",".join(agents)
        path = str(folder / "world.db")
        settings = config.load({"AGENTS": names, "EMBEDDED_PATH": path, **(environ or {})})
        self.store = Witness(store or EmbeddedStore(path))
        self.queue = Queue(path)
        self.published: Counter[str] = Counter()
        self.late = 0  # microseconds that the world's clock is ahead of the machine's
        self.duplicate = 0.0  # how often a message is delivered twice
        self.concurrency = 1
        self.random = random.Random(seed)
        self.services = runtime.Services(
            settings, store=lambda _: self.store, bus=lambda _: self._counting(), now=self.now
        )
        self.entrypoints: dict[str, tuple[Entrypoint, str]] = {
            f"sub-{name}": (entrypoint, "/pubsub/push") for name, entrypoint in agents.items()
        }
        for name in agents:
            self.queue.subscribe(f"sub-{name}", settings.topic("tasks"), {"agent": name})
        self.entrypoints["sub-results"] = load("results").results, "/pubsub/results"
        self.queue.subscribe("sub-results", settings.topic("results"))
        self.queue.subscribe("callbacks", settings.topic("callbacks"))

    def now(self) -> int:
        """The clock that every process of this world goes by."""
        return runtime._now() + self.late

    def pass_time(self, seconds: float) -> None:
        """Moves it on."""
        self.late += int(seconds * SECOND)

    def dispatch(
        self, name: str, payload: Any = None, *, cents: float = 100, ttl: float = HOURS, **more: Any
    ) -> str:
        """The id of a new task, which is on its way."""
        asked = {"agent": name, "payload": payload, "budgetCents": cents, "ttlSeconds": ttl, **more}
        with APP.test_request_context("/dispatch", method="POST", json=asked):
            answer = load("dispatch").dispatch(flask.request)
        assert answer.status_code == 202, answer.json
        task_id: str = answer.json["taskId"]
        return task_id

    def run(self, name: str, payload: Any, key: str) -> Any:
        """The answer of the agent's own `/run`."""
        body = {"payload": payload, "budgetCents": 100, "ttlSeconds": HOURS, "idempotencyKey": key}
        with APP.test_request_context("/run", method="POST", json=body):
            return self.entrypoints[f"sub-{name}"][0](flask.request)

    def cancel(self, task_id: str) -> None:
        with APP.test_request_context(f"/task/{task_id}/cancel", method="POST"):
            assert load("cancel_task").cancel_task(flask.request).status_code == 200

    def task(self, task_id: str) -> Task:
        """As it stands, read past the counters."""
        found = record.from_document(self.store.inner.get(record.path(task_id)))
        assert found is not None
        return found

    def children(self, task: Task) -> dict[str, Task]:
        """By the call that made them."""
        return {
            key: self.task(child["taskId"]) for key, child in sorted((task.children or {}).items())
        }

    def tree(self, task: Task) -> Iterator[Task]:
        """The task and all below it."""
        yield task
        for child in self.children(task).values():
            yield from self.tree(child)

    def deliver(self) -> int:
        """Pushes what lies in the subscriptions now; returns how many messages that were."""
        pushes = [
            (name, delivery)
            for name in self.entrypoints
            for delivery in self.queue.pull(name, 1000, HOURS)
            for _ in range(2 if self.random.random() < self.duplicate else 1)
        ]
        self.random.shuffle(pushes)
        if self.concurrency == 1:
            for push in pushes:
                self.push(*push)
        else:
            with ThreadPoolExecutor(self.concurrency) as pool:
                list(pool.map(lambda push: self.push(*push), pushes))
        return len(pushes)

    def push(self, name: str, delivery: Delivery) -> None:
        """One delivery; without an acknowledgement it comes again."""
        entrypoint, path = self.entrypoints[name]
        message = {
            "data": base64.b64encode(delivery.data).decode(),
            "attributes": dict(delivery.attributes),
            "messageId": delivery.message_id,
        }
        body = {"message": message, "subscription": name}
        with APP.test_request_context(path, method="POST", json=body):
            try:
                status = entrypoint(flask.request).status_code
            except Killed:
                status = 0
        if status == 204:
            self.queue.ack([delivery.ack_id])
        else:
            self.queue.nack(delivery.ack_id, 0)

    def drain(self) -> None:
        """Delivers until nothing is under way."""
        for _ in range(MOST_DELIVERIES):
            if not self.deliver():
                return
        raise AssertionError("messages come again and again, and nobody acknowledges them")

    def sweep(self) -> None:
        with APP.test_request_context("/", method="POST", json={"message": {"data": "e30="}}):
            try:
                assert load("sweep").sweep(flask.request).status_code == 204
            except Killed:
                return

    def settle(self, task_id: str, rounds: int = 60) -> Task:
        """Delivers and sweeps, a minute and a half later each time, until all of it is closed."""
        for _ in range(rounds):
            self.drain()
            if not self.task(task_id).open:
                return self.task(task_id)
            self.pass_time(90)
            self.sweep()
        raise AssertionError(f"{task_id} is still open: {self.task(task_id)}")

    def _counting(self) -> Bus:
        world, queue = self, self.queue

        class Counting:
            def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
                world.published[topic.rpartition("/")[2]] += 1
                return queue.publish(topic, data, attributes)

        return Counting()


@contextmanager
def world(folder: Path, *works: Callable[..., Any], **more: Any) -> Iterator[World]:
    """A world with these functions as its agents: plain ones, or entrypoints already."""
    agents = {}
    for work in works:
        name = work.__name__.removeprefix("agent_").replace("_", "-")
        agents[name] = work if hasattr(work, "__wrapped__") else agent()(work)
    made = World(folder, agents, **more)
    with runtime.using(made.services):
        yield made


_loaded: dict[str, ModuleType] = {}


def load(function: str) -> Any:
    """The module of a function, under a name of its own."""
    if function not in _loaded:
        source = FUNCTIONS / function / "main.py"
        sys.path.append(str(source.parent))  # as functions-framework does
        spec = importlib.util.spec_from_file_location(f"functions_{function}", source)
        assert spec
        assert spec.loader
        _loaded[function] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(_loaded[function])
    return _loaded[function]
