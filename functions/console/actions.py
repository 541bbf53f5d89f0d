"""What the console does, by the rules and on the paths of the functions of that name."""

from __future__ import annotations

from collections.abc import Mapping

import flask

import spending
from shared import (
    admission,
    budgets,
    callers,
    deliveries,
    endpoint,
    errors,
    ledgers,
    log,
    orders,
    redrives,
    runtime,
    schemas,
)
from shared.tasks import commits, endings, publish, view
from shared.tasks.record import Task

ORDER, REDRIVE, ACCOUNT = schemas.Dispatch(), schemas.Redrive(), schemas.Account()


def show(request: flask.Request, task_id: str) -> flask.Response:
    """The task as it stands."""
    return endpoint.answer(view.shown(commits.get(runtime.current(), schemas.task_id(task_id))))


def order(request: flask.Request) -> flask.Response:
    """202 with the task under way."""
    current = runtime.current()
    asked = orders.asked(request, ORDER)
    if asked["agent"] not in current.config.agents:
        raise errors.UnknownAgent(f"agent: there is no {asked['agent']!r}; see AGENTS")
    if asked["mode"] != "pubsub":
        errors.refuse([("mode", "is pubsub here; dispatch itself takes http too")])
    orders.require_deadline(asked, current.now())
    owner = callers.identify(request).id
    task = orders.task(current, asked, agent=asked["agent"], owner=owner)
    return _sent(current, *admission.place(current, task))


def redrive(request: flask.Request, task_id: str) -> flask.Response:
    """202 with a new task that does what a failed or expired one did not."""
    current = runtime.current()
    asked = schemas.load(REDRIVE, endpoint.body(request, optional=True))
    return _sent(current, *redrives.redrive(current, schemas.task_id(task_id), asked))


def call_back(request: flask.Request, task_id: str) -> flask.Response:
    """202 with the task, whose callback is sent once more."""
    task = deliveries.again(runtime.current(), schemas.task_id(task_id))
    return endpoint.answer(view.shown(task), 202)


def cancel(request: flask.Request, task_id: str) -> flask.Response:
    """The cancelled task."""
    current = runtime.current()
    task = commits.cancel(current, schemas.task_id(task_id))
    endings.announce(current, task)
    return endpoint.answer(view.shown(task))


def put_account(request: flask.Request, account_id: str) -> flask.Response:
    """Makes an account, or changes its limit."""
    asked = schemas.load(ACCOUNT, endpoint.body(request))
    account = ledgers.Account(
        id=schemas.account_id(account_id),
        limit=asked["limitCents"],
        window=asked["window"],
        owners=tuple(asked["owners"]),
    )
    account, ledger = budgets.put_account(runtime.current(), account)
    return endpoint.answer(spending.view(account, ledger))


def _sent(current: runtime.Services, task: Task, replayed: bool) -> flask.Response:
    headers: Mapping[str, str] = {"Idempotent-Replayed": "true"} if replayed else {}
    if not replayed and task.status == "queued":
        log.event("queued", **view.about(task))
        publish.to_agent_soon(current, task)
    return endpoint.answer(view.shown(task), 202, {"Location": f"/task/{task.id}", **headers})
