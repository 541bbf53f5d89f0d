"""Redrives: a task that failed or expired, dispatched again as a new one, linked to the old."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shared import admission, clock, errors, orders
from shared.runtime import Services
from shared.storage import retry
from shared.storage.store import Patch, Put, Write
from shared.tasks import commits, record
from shared.tasks.record import Task


def redrive(services: Services, task_id: str, order: Mapping[str, Any]) -> tuple[Task, bool]:
    """The new task, and whether it was there already: twice is once.

    It has a budget and a deadline of its own, as `order` (see `schemas.Redrive`) names them, else
    as long and as much as the old one had. Both documents change in one commit. Raises
    `errors.UnknownTask`, `errors.NotRedrivable`, or as `admission.hold` does.
    """
    for _ in retry.tries():
        old = commits.get(services, task_id)
        if old.redriven_as:
            return commits.get(services, old.redriven_as), True
        if old.status not in ("failed", "expired"):
            raise errors.NotRedrivable(f"the task is {old.status}")
        if old.parent:
            raise errors.NotRedrivable(f"its money was its parent's: redrive task {old.parent}")
        new = admission.hold(services, _successor(services, old, order))
        link = {"redrivenAs": new.id, "op": new.op}
        try:
            writes: list[Write] = [Put(new.path, new.fields()), Patch(old.path, link, old.version)]
            new = replace(new, version=services.store.commit(writes))
        except errors.Conflict:
            # Had it landed, with its answer lost, the new task is there, and may have moved on.
            current = record.from_document(services.store.get(new.path))
            if current is None or current.created_at != new.created_at:
                admission.give_back(services, new)
                continue
            new = current
        return admission.secured(services, new), False
    raise errors.Unavailable("the task changes too fast: try again")


def _successor(services: Services, old: Task, order: Mapping[str, Any]) -> Task:
    now = services.now()
    orders.check_deadline(order, now)
    again = {"ttlSeconds": max(old.deadline - old.created_at, clock.SECOND)} | dict(order)
    until = orders.deadline(services, again, now)
    budget = order.get("budgetCents", old.budget)
    return Task(
        id=record.keyed_id("redrive", old.id),
        agent=old.agent,
        owner=old.owner,
        payload=old.payload,
        deadline=until,
        budget=budget,
        held=budget,
        max_attempts=services.config.max_attempts,
        trace_id=old.trace_id,
        traceparent=old.traceparent,
        callback_url=old.callback_url,
        account=order.get("account", old.account),
        created_at=now,
        wake_at=orders.first_wake(services, until, now),
        op=services.new_id(),
        redrive_of=old.id,
    )
