"""Admission: how a task becomes durable with its money held, and when it counts as admitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shared import budgets, errors, log, orders
from shared.runtime import Services
from shared.tasks import commits, record, transitions
from shared.tasks.record import Outcome, Task

MOVES = 5  # of one task from purse to purse, in one go


def place(services: Services, task: Task) -> tuple[Task, bool]:
    """Makes the task durable with its budget held; returns it and whether it is a replay.

    Raises `errors.KeyReused`, `errors.UnknownAccount` or `errors.BudgetExceeded`, and then nothing
    was written. A task that lost its place after all comes back failed.
    """
    try:
        named = hold(services, task)
    except errors.BudgetExceeded:
        found = _made_before(services, task)  # a replay needs no money
        if found is None:
            raise
        return found, True
    try:
        created, replayed = commits.create(services, named)
    except errors.KeyReused:
        give_back(services, named)
        raise
    if replayed:
        # Sent twice, the commit may have made it after all, and the sweep has moved it meanwhile.
        if created.created_at != named.created_at:
            give_back(services, named)
        return created, True
    return secured(services, created), False


def earlier(services: Services, order: Mapping[str, Any], owner: str) -> Task | None:
    """The task that the order's idempotency key has made before, if it has.

    Raises `errors.KeyReused` where that was asked for something else.
    """
    key, agent = order.get("idempotencyKey"), order["agent"]
    if not key:
        return None
    same = orders.fingerprint(agent, order["budgetCents"], order)
    id_ = record.keyed_id(owner, agent, key)
    asked = Task(id=id_, agent=agent, idempotency_key=key, fingerprint=same)
    return _made_before(services, asked)


def _made_before(services: Services, task: Task) -> Task | None:
    current = record.from_document(services.store.get(task.path))
    return commits.replayed(current, task) if current else None


def secured(services: Services, task: Task) -> Task:
    """As `admitted`, whoever else moves the task meanwhile: it has its money, or has ended."""
    while True:
        try:
            return admitted(services, task)
        except (commits.Lost, errors.TaskEnded, errors.Fenced):  # the sweep, a cancellation
            task = commits.get(services, task.id)


def admitted(services: Services, task: Task) -> Task:
    """The queued task, once the commit that named its purse came before that purse's expiry.

    A late one moves to a purse of its own, or fails with `budget_exceeded`; then it is terminal.
    Raises `tasks.Lost` where somebody else moved it, and `errors.Unavailable` where purse after
    purse lapses before the commit that names it: to go on would drain the account. A task that an
    attempt has claimed was admitted before: only admitted tasks are published.
    """
    for _ in range(MOVES):
        if not task.account or task.attempts or task.terminal:
            return task
        if (task.held_at or task.version) < (task.purse_expiry or 0):
            return task
        log.event("lapsed purse", "WARNING", taskId=task.id, purse=task.purse)
        try:
            purse = budgets.open_purse(services, task.account, task.budget, task.budget, task.owner)
        except (errors.BudgetExceeded, errors.UnknownAccount, errors.Forbidden) as error:
            refusal = transitions.fault("budget_exceeded", error.detail)
            return commits.finish(services, task, Outcome(status="failed", error=refusal))
        task = commits.move(services, task, _naming(task, purse))
    raise errors.Unavailable("the store is slower than a purse lasts: see PURSE_SECONDS")


def hold(services: Services, task: Task) -> Task:
    """The task with its budget held on its account, not durable yet.

    Raises `errors.UnknownAccount`, `errors.BudgetExceeded`, `errors.Forbidden` where the account is
    not for the task's owner, or `errors.Invalid` without an account where one is required.
    """
    if task.account is None:
        if services.config.require_account:
            raise errors.Invalid("account: is required here (REQUIRE_ACCOUNT)")
        return task
    purses = budgets.purses(services)
    return _naming(task, purses.hold(services, task.account, task.budget, task.owner))


def _naming(task: Task, purse: budgets.Open) -> Task:
    return replace(
        task, ledger=purse.ledger, purse=purse.name, purse_expiry=purse.expiry, held_at=None
    )


def give_back(services: Services, task: Task) -> None:
    """Undoes a hold that no task was made with."""
    if task.account:
        budgets.purses(services).give_back(task.account, task.purse, task.budget)
