"""The transitions of a task: pure functions from one record to the next, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared import errors, limits, money
from shared.clock import SECOND
from shared.runtime import Services
from shared.tasks.record import Fault, Outcome, Task

LONGEST_BACKOFF = 600  # seconds between two attempts, or two messages, at the most


class Refused(errors.Error):
    """The attempt must not begin; `outcome` ends the task instead."""

    def __init__(self, task: Task, outcome: Outcome) -> None:
        super().__init__()
        self.task = task
        self.outcome = outcome


def claimed(
    services: Services, task: Task, cost: int, lease: float, most: int | None = None
) -> Task:
    """The task with an attempt begun: fixed cost charged, lease taken; raises as `tasks.claim`."""
    now = services.now()
    if most and not task.attempts:
        task = replace(task, max_attempts=most)
    if task.terminal:
        raise errors.TaskEnded(f"the task has ended: {task.status}", task=task)
    if task.status == "running" and now < (task.lease_until or 0) and now < task.deadline:
        raise errors.InProgress(f"attempt {task.attempts} is running", task=task)
    if task.status == "waiting":  # the sweep ends it at its deadline, for it knows its children
        raise errors.InProgress("its children are running", task=task)
    cost = 0 if task.resumed else cost
    refusal = _refusal(task, cost, now)
    if refusal:
        raise Refused(task, refusal)
    lapsed = {"endedAt": now, "error": lease_lapsed(task)}
    lease_until = now + int(lease * SECOND)
    return replace(
        task,
        status="running",
        attempts=task.attempts + 1,
        charged=task.charged + cost,
        lease_until=lease_until,
        wake_at=min(lease_until, task.deadline),
        resumed=None,
        runs={
            **(_with_run(task, **lapsed) if task.status == "running" else task.runs),
            str(task.attempts + 1): {"startedAt": now, "charged": cost},
        },
    )


def ended(services: Services, task: Task, outcome: Outcome) -> Task:
    """The task after its end: what it holds becomes what it was charged."""
    now = services.now()
    runs = task.runs
    if task.status == "running":
        told: dict[str, Any] = {"publishedAt": outcome.published_at, "endedAt": now}
        if outcome.status == "failed":
            told["error"] = outcome.error
        runs = _with_run(task, **{name: each for name, each in told.items() if each is not None})
    return replace(
        task,
        status=outcome.status,
        result=outcome.result,
        error=outcome.error,
        held=task.charged,
        ended_at=now,
        lease_until=None,
        # Whoever owes a callback stays due, until it is delivered.
        callback={"state": "pending", "attempts": 0} if task.callback_url else None,
        # So does who has children: they are cancelled, and their money comes back.
        wake_at=_later(services, now) if task.callback_url or task.pending else None,
        open=bool(task.pending),
        expire_at=_forgotten(services, now),
        runs=runs,
    )


def requeued(services: Services, task: Task, error: Fault) -> Task:
    """The task after an attempt that failed, or lost its lease, in the queue again."""
    now = services.now()
    pause = min(services.config.publish_grace_seconds * 2**task.attempts, LONGEST_BACKOFF)
    return replace(
        task,
        status="queued",
        lease_until=None,
        wake_at=min(task.deadline, now + int(pause * SECOND)),
        error=error,
        runs=_with_run(task, endedAt=now, error=error),
    )


def paused(services: Services, task: Task, how: str) -> Task:
    """The task after an attempt that will go on in another delivery, at no fixed cost.

    That is no failed attempt, so it takes none of those the task may have.
    """
    now = services.now()
    return replace(
        task,
        status="queued",
        lease_until=None,
        wake_at=min(task.deadline, _later(services, now)),
        resumed=True,
        max_attempts=min(task.max_attempts + 1, limits.DELIVERIES),
        runs=_with_run(task, endedAt=now, paused=how),
    )


def called(services: Services, task: Task, children: Mapping[str, Task]) -> Task:
    """The parent once it has handed parts of its budget to children, and waits for them.

    Raises `errors.BudgetExceeded` where what is left of it does not cover them.
    """
    carved = sum(child.budget for child in children.values())
    named = {
        key: {"taskId": child.id, "budget": child.budget, "attempt": task.attempts}
        for key, child in children.items()
    }
    return replace(
        charged(paused(services, task, "waiting"), carved),
        status="waiting",
        wake_at=task.deadline,
        children={**(task.children or {}), **named},
        pending=len(children),
    )


def child_ended(services: Services, parent: Task, child: Task) -> Task:
    """The parent once one of its children is closed: what that did not use is back.

    Where the parent has ended before, this may close it too. Raises `errors.Invalid` for a child
    that it has not called: whoever reported its result named another parent.
    """
    now = services.now()
    key = child.parent_key or ""
    entry = (parent.children or {}).get(key)
    if entry is None or entry["taskId"] != child.id:
        raise errors.Invalid(f"parentKey: call {key!r} of task {parent.id} is not task {child.id}")
    attempt = str(entry["attempt"])
    unused = entry["budget"] - child.charged
    told = {**entry, "status": child.status, "cost": child.charged}
    run = parent.runs[attempt]
    after = replace(
        parent,
        charged=parent.charged - unused,
        held=parent.charged - unused if parent.terminal else parent.held,
        pending=(parent.pending or 0) - 1,
        children={**(parent.children or {}), key: told},
        runs={**parent.runs, attempt: {**run, "charged": run["charged"] - unused}},
    )
    if after.pending:
        return after
    if after.terminal:
        after = replace(after, open=False)
        return replace(after, wake_at=_later(services, now) if after.owes_callback else None)
    return replace(after, status="queued", wake_at=min(parent.deadline, _later(services, now)))


def charged(task: Task, micros: int) -> Task:
    """The running task after a charge; a negative one gives back.

    Raises `errors.BudgetExceeded` where it does not fit.
    """
    if task.charged + micros > task.budget:
        raise errors.BudgetExceeded(**over_budget(task, micros))
    run = task.runs.get(str(task.attempts), {})
    runs = _with_run(task, charged=run.get("charged", 0) + micros)
    return replace(task, charged=task.charged + micros, runs=runs)


def woken(services: Services, task: Task) -> Task:
    """The task looked at by the sweep, not before a while from now again.

    That grows with the task's age: its message may only wait its turn behind many others, and to
    publish all of them again and again would make the queue longer still.
    """
    now = services.now()
    later = _later(services, now)
    older = now + min(now - task.created_at, LONGEST_BACKOFF * SECOND)
    return replace(
        task,
        wake_at=later if task.terminal else min(task.deadline, max(later, older)),
        held_at=task.held_at or task.version,
    )


def unclaimed(task: Task, cost: int, now: int) -> tuple[Task, bool]:
    """The task as if the attempt that reports its result had claimed it; and whether it could."""
    fits = task.charged + cost <= task.budget
    attempt = str(task.attempts + 1)
    charge = min(cost, task.budget - task.charged)
    return replace(
        task,
        status="running",
        attempts=task.attempts + 1,
        charged=task.charged + charge,
        runs={**task.runs, attempt: {"startedAt": now, "charged": charge}},
    ), fits


def fence(current: Task, known: Task) -> None:
    """Only who knows the task as it is may change it: the attempt that owns it, if one does."""
    if current.terminal:
        raise errors.TaskEnded(f"the task has ended: {current.status}", task=current)
    if (current.attempts, current.status) != (known.attempts, known.status):
        raise errors.Fenced(
            f"attempt {known.attempts} lost the task, which is {current.status}"
            f" with attempt {current.attempts}"
        )


def fault(code: str, detail: str) -> dict[str, Any]:
    """Why an attempt or a task failed, as it is stored and shown: whatever an agent said of it."""
    return {
        "code": code,
        "detail": detail.encode("utf-8", "replace").decode()[: limits.FAULT_DETAIL],
    }


def lease_lapsed(task: Task) -> dict[str, Any]:
    """The fault of an attempt that another one may take over from."""
    return fault("lease_lapsed", f"attempt {task.attempts} did not finish within its lease")


def over_budget(task: Task, cost: int) -> dict[str, Any]:
    """The fault of a task whose next charge does not fit its budget."""
    cents = [money.to_cents(micros) for micros in (cost, task.budget, task.charged)]
    return {
        **fault("budget_exceeded", "a charge of {} cents exceeds {}, {} spent".format(*cents)),
        "limitCents": cents[1],
        "spentCents": cents[2],
    }


def overdrawn(task: Task, cost: int) -> Outcome:
    """How a task ends whose agent reports a cost beyond its budget."""
    return Outcome(status="failed", error=over_budget(task, cost))


def _refusal(task: Task, cost: int, now: int) -> Outcome | None:
    if now >= task.deadline:
        return Outcome(status="expired", error=fault("expired", "the deadline passed in the queue"))
    if task.attempts >= task.max_attempts:
        last = task.error or fault("attempts_exhausted", f"no attempt of {task.attempts} finished")
        return Outcome(status="failed", error=last)
    if task.charged + cost > task.budget:
        return Outcome(status="failed", error=over_budget(task, cost))
    return None


def _forgotten(services: Services, now: int) -> datetime:
    """When the database may delete an ended task, and with it its idempotency key."""
    return datetime.fromtimestamp(now / SECOND, UTC) + timedelta(
        days=services.config.retention_days
    )


def _later(services: Services, now: int) -> int:
    return now + int(services.config.publish_grace_seconds * SECOND)


def _with_run(task: Task, **members: Any) -> dict[str, Any]:
    attempt = str(task.attempts)
    return {**task.runs, attempt: {**task.runs.get(attempt, {}), **members}}
