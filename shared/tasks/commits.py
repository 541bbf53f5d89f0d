"""The rules of a task: every transition is one commit, fenced by the version it starts from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from shared import errors
from shared.runtime import Services
from shared.storage import retry
from shared.storage.store import MISSING, Patch, Put, Write
from shared.tasks import record, transitions
from shared.tasks.record import Fault, Outcome, Task

FAST = {"version", "attempt", "costCents", "budgetCents", "parent"}  # of a result: no read needed


class Lost(errors.Conflict):
    """The task changed meanwhile."""

    def __init__(self, current: Task | None) -> None:
        super().__init__()
        self.current = current  # as it stands now; None where it does not exist


def get(services: Services, task_id: str) -> Task:
    """The task; raises `errors.UnknownTask`."""
    task = record.from_document(services.store.get(record.path(task_id)))
    if task is None:
        raise errors.UnknownTask(f"there is no task {task_id}")
    return task


def awaited(services: Services, task: Task, seconds: float) -> Task:
    """The task as soon as it has ended, or as it stands when time is up.

    Raises `errors.UnknownTask` where it is gone by then.
    """
    document = services.store.wait(
        task.path, lambda seen: seen.data.get("status") in record.TERMINAL, seconds
    )
    found = record.from_document(document)
    if found is None:
        raise errors.UnknownTask(f"there is no task {task.id} any more")
    return found


def create(services: Services, task: Task) -> tuple[Task, bool]:
    """Makes the task durable; returns it with whether it was there already (a replay).

    Raises `errors.KeyReused` where its idempotency key has made another task.
    """
    task = replace(task, op=services.new_id())
    try:
        return replace(task, version=services.store.commit([Put(task.path, task.fields())])), False
    except errors.Conflict:
        current = get(services, task.id)
    if current.op == task.op:  # the commit had landed, its answer was lost
        return replace(task, version=current.version), False
    return replayed(current, task), True


def replayed(current: Task, task: Task) -> Task:
    """The task that an earlier request made, if both ask for the same; else `errors.KeyReused`."""
    if current.fingerprint != task.fingerprint:
        raise errors.KeyReused(
            f"idempotencyKey: {task.idempotency_key!r} belongs to task {task.id},"
            " which was asked for something else; take a new key"
        )
    return current


def claim(services: Services, task: Task, cost: int, lease: float, most: int | None = None) -> Task:
    """Starts an attempt: charges its fixed cost and takes the lease, in one commit.

    `task` is as the message tells it; only where that is stale is the store read. The first attempt
    says how many there may be at the `most`, where its agent has an own limit. Raises
    `errors.TaskEnded`, `errors.InProgress`, `errors.UnknownTask`, or `transitions.Refused` with the
    outcome that ends the task.
    """
    return _retried(
        services, task, lambda current: transitions.claimed(services, current, cost, lease, most)
    )


def create_running(services: Services, task: Task, cost: int, lease: float) -> tuple[Task, bool]:
    """As `create`, with the first attempt begun, or ended where it must not begin."""
    try:
        return create(services, transitions.claimed(services, task, cost, lease))
    except transitions.Refused as refused:
        return create(services, transitions.ended(services, task, refused.outcome))


def finish(services: Services, task: Task, outcome: Outcome) -> Task:
    """Ends the task: its state and its money, in one commit.

    An attempt that lost its task changes nothing: `errors.Fenced`, or `errors.TaskEnded` where
    the task had ended before.
    """

    def finished(current: Task) -> Task:
        transitions.fence(current, task)
        return transitions.ended(services, current, outcome)

    return _retried(services, task, finished)


def release(services: Services, task: Task, error: Fault) -> Task:
    """Gives a failed attempt's task back to the queue; raises as `finish` does."""

    def released(current: Task) -> Task:
        transitions.fence(current, task)
        return transitions.requeued(services, current, error)

    return _retried(services, task, released)


def settle(services: Services, result: Mapping[str, Any], outcome: Outcome) -> Task:
    """Ends the task by a result message, as `schemas.Result` loads it; raises as `finish` does.

    One that carries the version, the attempt and the money is settled without a read. An agent that
    speaks only the messages claims nothing: its result then counts as the task's next attempt.
    """
    cost, task_id = result.get("costCents", 0), result["taskId"]
    if result.keys() >= FAST and result["version"]:
        budget = result["budgetCents"]
        known = Task(
            id=task_id,
            agent=result.get("agent", ""),
            version=result["version"],
            status="queued" if result.get("refused") else "running",
            attempts=result["attempt"],
            budget=budget,
            held=budget,
            charged=min(cost, budget),
            trace_id=result.get("traceId", ""),
            callback_url=result.get("callbackUrl"),
            parent=result.get("parent"),
            parent_key=result.get("parentKey"),
        )
        return finish(services, known, outcome)

    def settled(current: Task) -> Task:
        if current.status == "queued":
            current, paid = transitions.unclaimed(current, cost, services.now())
            return transitions.ended(
                services, current, outcome if paid else transitions.overdrawn(current, cost)
            )
        attempt = result.get("attempt", current.attempts)
        transitions.fence(current, replace(current, status="running", attempts=attempt))
        return transitions.ended(services, current, outcome)

    return _retried(services, get(services, task_id), settled)


def cancel(services: Services, task_id: str) -> Task:
    """Ends the task at once; a running attempt is fenced off. Raises `errors.TaskEnded`."""

    def cancelled(current: Task) -> Task:
        if current.terminal:
            raise errors.TaskEnded(f"the task has ended: {current.status}", task=current)
        return transitions.ended(services, current, Outcome(status="cancelled"))

    return _retried(services, get(services, task_id), cancelled)


def move(services: Services, before: Task, after: Task, *more: Write) -> Task:
    """The commit that makes a transition true; returns the task with its new version.

    One that closes a child changes its parent in the same commit. Raises `Lost` where the task is
    no longer at the version it started from.
    """
    after = replace(after, op=services.new_id())
    own = _patch(before, after)
    for _ in retry.tries():
        told = list(_told(services, before, after))
        try:
            version = services.store.commit([own, *(_patch(*each) for each in told), *more])
        except errors.Conflict:
            current = record.from_document(services.store.get(before.path))
            if current is None or current.op != after.op:
                if current is not None and current.version == before.version and told:
                    continue  # an ancestor has changed
                raise Lost(current) from None
            version = current.version  # it had landed, its answer was lost
        moved = replace(told[-1][1], version=version) if told else None
        return replace(after, version=version, moved=moved)
    raise errors.Unavailable("the parent changes too fast: try again")


def _patch(before: Task, after: Task) -> Patch:
    fields, removed = record.changes(before, after)
    return Patch(before.path, fields, before.version, removed)


def _told(services: Services, before: Task, after: Task) -> Iterator[tuple[Task, Task]]:
    """The ancestors whom the closing of a task concerns, before and after it.

    These are its parent and, where that had ended and this closes it too, the parent's own.
    """
    while after.parent and before.open and not after.open:
        parent = record.from_document(services.store.get(record.path(after.parent)))
        if parent is None:
            return  # deleted: nobody is left to give money back to
        told = transitions.child_ended(services, parent, after)
        before, after = parent, replace(told, op=services.new_id())
        yield before, after


def _retried(services: Services, task: Task, transition: Callable[[Task], Task]) -> Task:
    """Decides anew from the current state as often as another commit comes first."""
    if task.version == MISSING:
        task = get(services, task.id)
    for _ in retry.tries():
        try:
            return move(services, task, transition(task))
        except Lost as lost:
            if lost.current is None:
                raise errors.UnknownTask(f"there is no task {task.id}") from None
            task = lost.current
    raise errors.Unavailable("the task changes too fast: try again")
