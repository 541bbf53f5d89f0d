"""A world of its own for each test: the embedded backend, and a clock that the test moves."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import functions_framework
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from emulators import topology
from shared import config, orders, runtime, schemas
from shared.clock import SECOND
from shared.storage.sqlite.bus import Queue
from shared.tasks import commits, messages, record, transitions
from shared.tasks.record import Task
from tests.unit.stores import Watched

HOPS = ("tasks", "results", "callbacks")
COST = 5 * 10_000  # micros, of an attempt
LEASE = 60.0  # seconds


class Clock:
    """The process's clock; it moves only when it is told to."""

    def __init__(self) -> None:
        self.micros = time.time_ns() // 1000

    def __call__(self) -> int:
        return self.micros

    def forward(self, seconds: float) -> None:
        """Lets time pass."""
        self.micros += int(seconds * SECOND)


@dataclass(frozen=True)
class Published:
    """A message as it left."""

    data: Any
    attributes: Mapping[str, str]


class World:
    """Services on an embedded store and bus, and what a test does with them."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.clock = Clock()
        path = str(folder / "zantara.db")
        self.settings = config.load({"EMBEDDED_PATH": path, **environment})
        self.store = Watched(path)
        self.services = runtime.Services(self.settings, store=lambda _: self.store, now=self.clock)
        self._queue = Queue(path)
        for hop in HOPS:
            self._queue.subscribe(hop, self.settings.topic(hop))

    def set(self, **changes: Any) -> None:
        """Changes the configuration."""
        self.settings = replace(self.settings, **changes)
        self.services.config = self.settings

    def published(self, hop: str) -> list[Published]:
        """What has been published on a hop since the last look."""
        deliveries = self._queue.pull(hop, 1000, 600)
        self._queue.ack([each.ack_id for each in deliveries])
        return [Published(json.loads(each.data), each.attributes) for each in deliveries]

    def order(self, **asked: Any) -> Task:
        """A task that is not durable yet."""
        asked = {"payload": {"msg": "hi"}, "budgetCents": 10, "ttlSeconds": 60, **asked}
        loaded = schemas.load(schemas.Run(), asked)
        return orders.task(self.services, loaded, agent=asked.get("agent", "light"))

    def queued(self, **asked: Any) -> Task:
        """A task in the queue."""
        task, _ = commits.create(self.services, self.order(**asked))
        return task

    def running(self, **asked: Any) -> Task:
        """A task with its first attempt begun, as the agent's hop knows it."""
        return commits.claim(self.services, self.told(self.queued(**asked)), COST, LEASE)

    def told(self, task: Task) -> Task:
        """The task as the message on `tasks` tells it."""
        run = schemas.load(schemas.Run(), json.loads(messages.encode(messages.run(task))))
        return messages.told(run, "light")

    def ended(self, status: record.Status, **asked: Any) -> Task:
        """A task that has ended so."""
        if status == "cancelled":
            return commits.cancel(self.services, self.queued(**asked).id)
        error = None if status == "succeeded" else transitions.fault("agent_failed", "no")
        result = "1" if status == "succeeded" else None
        outcome = record.Outcome(status=status, result=result, error=error)
        return commits.finish(self.services, self.running(**asked), outcome)

    def result(self, task: Task, outcome: record.Outcome) -> dict[str, Any]:
        """The message on `results`, as `results` loads it."""
        message = messages.encode(messages.result(task, outcome))
        return schemas.load(schemas.Result(), json.loads(message))

    def task(self, task_id: str) -> Task:
        """The task as it stands in the store."""
        found = record.from_document(self.store.get(record.path(task_id)))
        assert found
        return found

    def client(self, target: str, source: Path | None = None) -> FlaskClient:
        """A client of the function, as functions-framework serves it."""
        source = source or topology.FUNCTIONS / target / "main.py"
        app: Any = functions_framework.create_app(target, str(source))  # type: ignore[no-untyped-call]
        client: FlaskClient = app.test_client()
        return client

    def push(self, client: FlaskClient, data: Any, path: str = "/", **message: Any) -> TestResponse:
        """Pushes data as Pub/Sub does."""
        encoded = base64.b64encode(json.dumps(data).encode()).decode()
        body = {"message": {"data": encoded, "messageId": "1", **message}, "subscription": "sub"}
        return client.post(path, json=body)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty world, which the functions find too."""
    world = World(tmp_path)
    with runtime.using(world.services):
        yield world
