"""A store with many tasks in it, as months of work leave it, and what the product does there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from shared import sweeper
from shared.clock import SECOND
from shared.runtime import Services
from shared.storage import shards
from shared.storage.store import Put
from shared.tasks import commits, listing, record, transitions
from shared.tasks.record import Outcome, Task
from tests.bench import backend
from tests.chaos import auditor

BUDGET, COST = 100_000, 50_000  # micros
LEASE = 3600.0  # seconds: nothing falls due while it is measured
GAP = 20 * SECOND  # between two tasks that were made
LIVE, FAILED = 0.01, 0.1  # of all tasks
PAGE = 50  # tasks
SELDOM = 5  # rounds to one of what takes long
DONE = Outcome(status="succeeded", result=json.dumps({"echo": {"msg": "hi"}}))
BROKEN = Outcome(status="failed", error=transitions.fault("agent_failed", "it did not work"))
Answer = TypeVar("Answer")
OPERATIONS = (
    *("get", "create", "claim", "finish", "sweep of nothing"),
    *("list", "list by status", "list from the middle"),
)


@dataclass
class Population:
    """So many tasks in a store that was empty."""

    services: Services
    size: int
    times: dict[str, list[float]] = field(default_factory=lambda: {each: [] for each in OPERATIONS})

    def __post_init__(self) -> None:
        queued = self._task()
        running = transitions.claimed(self.services, queued, COST, LEASE)
        kinds = [transitions.ended(self.services, running, each) for each in (BROKEN, DONE)]
        failed, succeeded = (each.fields() for each in kinds)
        live = queued.fields()
        puts = []
        for number in range(self.size):
            ends = failed if number % (1 / FAILED) == 1 else succeeded
            fields = live if number % (1 / LIVE) == 0 else ends
            created = queued.created_at - (number + 1) * GAP
            id_ = self.services.new_id()
            made = {**fields, "createdAt": created, shards.FIELD: shards.of(id_)}
            puts.append(Put(record.path(id_), made))
        backend.fill(self.services, puts)
        middle = puts[self.size // 2]
        self._middle = f"{middle.data['createdAt']}.{middle.path.rpartition('/')[2]}"
        self._some = [put.path.rpartition("/")[2] for put in puts[:: max(1, self.size // 1000)]]

    def work(self) -> None:
        """Every operation once, a long one not every time; its seconds are added to `times`."""
        here, number = self.services, len(self.times["get"])
        self._timed("get", lambda: commits.get(here, self._some[number * 7 % len(self._some)]))
        task = self._task()
        task, _ = self._timed("create", lambda: commits.create(here, task))
        task = self._timed("claim", lambda: commits.claim(here, task, COST, LEASE))
        self._timed("finish", lambda: commits.finish(here, task, DONE))
        moved = self._timed("sweep of nothing", lambda: sweeper.sweep(here))
        page = self._timed("list", lambda: listing.page(here, {"limit": PAGE}))
        failed = {"limit": PAGE, "status": "failed"}
        chosen = self._timed("list by status", lambda: listing.page(here, failed))
        assert moved == 0
        assert [len(each["tasks"]) for each in (page, chosen)] == [PAGE, PAGE]
        if number % SELDOM == 0:
            middle = {"limit": PAGE, "pageToken": self._middle}
            self._timed("list from the middle", lambda: listing.page(here, middle))

    def audit(self) -> float:
        """Seconds that the auditor takes, which reads every task."""
        began = time.perf_counter()
        found = auditor.audit(self.services.store, auditor.Terms())
        assert not found, found[:3]
        return time.perf_counter() - began

    def _timed(self, operation: str, call: Callable[[], Answer]) -> Answer:
        began = time.perf_counter()
        answer = call()
        self.times[operation].append(time.perf_counter() - began)
        return answer

    def _task(self) -> Task:
        now = self.services.now()
        return Task(
            id=self.services.new_id(),
            agent="light",
            payload=json.dumps({"msg": "hi", "text": "what a task has to say " * 10}),
            deadline=now + int(LEASE * SECOND),
            budget=BUDGET,
            held=BUDGET,
            max_attempts=5,
            trace_id=self.services.new_id(),
            created_at=now,
            wake_at=now + int(LEASE * SECOND),
        )
