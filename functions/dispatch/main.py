"""`dispatch`: makes a task durable, with its budget held, and sends it on its way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flask

from shared import (
    admission,
    agents,
    callers,
    deliveries,
    endpoint,
    errors,
    log,
    orders,
    redrives,
    runtime,
    schemas,
)
from shared.tasks import publish, view
from shared.tasks.record import Task

api = endpoint.Endpoint("dispatch")
ORDER, REDRIVE = schemas.Dispatch(), schemas.Redrive()


@api.route("POST", "/dispatch", "/")
def order(request: flask.Request) -> flask.Response:
    """202 with the task under way, or in http mode 200 with its outcome."""
    current = runtime.current()
    caller = callers.identify(request)
    asked = orders.asked(request, ORDER)
    if asked["agent"] not in current.config.agents:
        raise errors.UnknownAgent(f"agent: there is no {asked['agent']!r}; see AGENTS")
    task, replayed = _placed(current, asked, caller.id)
    headers = {"Location": f"/task/{task.id}"}
    if replayed:
        return _answer(task, {**headers, "Idempotent-Replayed": "true"})
    if task.mode == "http" and not task.terminal:
        task = agents.run(current, task)
    else:
        _publish(current, task)
    return _answer(task, headers)


@api.route("POST", "/task/<task_id>/redrive")
def redrive(request: flask.Request, task_id: str) -> flask.Response:
    """202 with a new task that does what a failed or expired one did not."""
    current = runtime.current()
    callers.identify(request).require_admin()
    asked = schemas.load(REDRIVE, endpoint.body(request, optional=True))
    task, replayed = redrives.redrive(current, schemas.task_id(task_id), asked)
    headers = {"Location": f"/task/{task.id}"}
    if replayed:
        return _answer(task, {**headers, "Idempotent-Replayed": "true"})
    _publish(current, task)
    return _answer(task, headers)


@api.route("POST", "/task/<task_id>/callback")
def call_back(request: flask.Request, task_id: str) -> flask.Response:
    """202 with the task, whose callback is sent once more."""
    callers.identify(request).require_admin()
    task = deliveries.again(runtime.current(), schemas.task_id(task_id))
    return endpoint.answer(view.shown(task), 202)  # also in http mode: it is yet to be sent


def _placed(current: runtime.Services, asked: Mapping[str, Any], owner: str) -> tuple[Task, bool]:
    """The task, and whether it is a replay; that is one also once its deadline has passed."""
    try:
        orders.require_deadline(asked, current.now())
        task = orders.task(current, asked, agent=asked["agent"], owner=owner)
    except errors.Invalid:
        earlier = admission.earlier(current, asked, owner)
        if earlier is None:
            raise
        return earlier, True
    return admission.place(current, task)


def _publish(current: runtime.Services, task: Task) -> None:
    """The task is durable: if its message does not leave now, the sweep sends it."""
    if task.status != "queued":  # it lost its place on its account, or the sweep has sent it
        return
    log.event("queued", **view.about(task))
    publish.to_agent_soon(current, task)


def _answer(task: Task, headers: Mapping[str, str]) -> flask.Response:
    done = task.terminal and task.mode == "http"
    return endpoint.answer(view.shown(task), 200 if done else 202, headers)


dispatch = api.target()
