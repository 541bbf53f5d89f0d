"""The sweep: every task that is not done carries `wakeAt`, and here is who looks when it comes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from shared import admission, budgets, errors, log
from shared.runtime import Services
from shared.storage import shards
from shared.storage.store import Document, Query, pages
from shared.tasks import commits, endings, publish, record, transitions, view
from shared.tasks.record import Outcome, Task

PAGE = 200  # tasks a query
FAILURES = 5  # in a row: then the store or the bus is away


def sweep(services: Services) -> int:
    """Moves on whatever is due; returns how many tasks it moved.

    What another sweep, an agent or a result moves at the same time is theirs. A task that cannot be
    moved now stays due, or comes back after the grace, and holds up no other. Raises
    `errors.Unavailable` where nothing can be moved.
    """
    moved, patience = 0, _Patience()
    for task in _due(services):
        with log.bound(taskId=task.id, traceId=task.trace_id), patience:
            moved += _move_on(services, task)
    for ledger in budgets.due_ledgers(services):
        with log.bound(account=ledger.account), patience:
            budgets.settle(services, ledger)
    return moved


class _Patience:
    """Passes over what fails within it, unless the store or the bus fails too often in a row."""

    def __init__(self) -> None:
        self._failed = 0

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None or isinstance(error, (commits.Lost, errors.TaskEnded, errors.Fenced)):
            self._failed = 0
            return True
        if not isinstance(error, Exception):
            return False
        log.event("not moved", "ERROR", exception=repr(error))
        self._failed += isinstance(error, errors.Unavailable)
        return self._failed < FAILURES


def _due(services: Services) -> Iterator[Task]:
    now = services.now()
    query = Query(
        collection=record.COLLECTION,
        where=[*shards.every(services.config.sharded), ("wakeAt", "<=", now)],
        order="wakeAt",
        limit=PAGE,
    )
    for page in pages(services.store, query):
        yield from filter(None, map(record.from_document, _mixed(page, now)))


def _mixed(documents: list[Document], now: int) -> list[Document]:
    """In another order at each sweep.

    So those that cannot be moved hold up the others only by chance, and sweeps at once meet less.
    """
    return sorted(documents, key=lambda each: zlib.crc32(f"{now} {each.id}".encode()))


def _move_on(services: Services, task: Task) -> bool:
    now = services.now()
    if task.terminal:
        endings.announce(services, commits.move(services, task, transitions.woken(services, task)))
        return True
    if now >= task.deadline:
        late = transitions.fault("expired", f"the deadline passed while {task.status}")
        endings.announce(
            services, commits.finish(services, task, Outcome(status="expired", error=late))
        )
        return True
    if task.status == "queued":
        task = admission.admitted(services, task)
        if task.terminal:
            endings.announce(services, task)
            return True
        _publish(services, transitions.woken(services, task), task, "published again")
        return True
    if task.status == "waiting" or now < (task.lease_until or 0):
        return False
    lost = transitions.lease_lapsed(task)
    if task.attempts >= task.max_attempts:
        endings.announce(
            services, commits.finish(services, task, Outcome(status="failed", error=lost))
        )
        return True
    _publish(services, transitions.requeued(services, task, lost), task, "requeued")
    return True


def _publish(services: Services, after: Task, before: Task, what: str) -> None:
    """Commits first: if the message is lost then, the task is due again after the grace."""
    task = commits.move(services, before, after)
    publish.to_agent(services, task)
    log.event(what, **view.about(task))
