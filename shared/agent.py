"""The `@agent` decorator: a plain function becomes an agent that is claimed, charged, fenced."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import flask

from shared import (
    admission,
    attempts,
    callers,
    endpoint,
    errors,
    log,
    money,
    orders,
    push,
    runtime,
    schemas,
)
from shared.attempts import Agent, Failure as Failure, Work
from shared.context import Context
from shared.runtime import Services
from shared.storage import bus
from shared.tasks import commits, endings, messages, publish, record, transitions, view
from shared.tasks.record import Outcome, Task

LEASE = 60.0  # seconds an attempt owns its task; keep it above the function's timeout
RUN = schemas.Run()


def agent(
    *, cost_cents: float = 0, lease_seconds: float = LEASE, max_attempts: int | None = None
) -> Callable[[Work], Callable[[flask.Request], flask.Response]]:
    """Makes a function `agent_NAME(payload, context)` the entrypoint of the agent NAME.

    Each attempt costs `cost_cents` (AGENT_COST_PER_RUN_CENTS overrides it), charged before the
    function runs. What it returns is the task's result, any JSON value. `agent.Failure` ends the
    task as failed; any other exception lets it be tried again, `max_attempts` (MAX_ATTEMPTS, where
    it names none) times in all.
    """

    def decorate(work: Work) -> Callable[[flask.Request], flask.Response]:
        this = Agent(
            name=work.__name__.removeprefix("agent_").replace("_", "-"),
            work=work,
            cost=money.from_cents(cost_cents),
            lease=lease_seconds,
            max_attempts=max_attempts,
        )
        api = endpoint.Endpoint(work.__name__)
        push.route(api, "/pubsub/push", "/")(lambda pushed: _pushed(_terms(this), pushed))
        api.route("POST", "/run")(lambda request: _run(_terms(this), request))
        return functools.wraps(work)(api.target())

    return decorate


def _terms(this: Agent) -> Agent:
    """The agent with what the environment overrides."""
    settings = runtime.current().config
    cost = settings.agent_cost_per_run_cents
    return replace(
        this,
        cost=this.cost if cost is None else cost,
        lease=settings.lease_seconds or this.lease,
    )


def _pushed(this: Agent, pushed: bus.Pushed) -> None:
    """One delivery. Whoever finds the task taken or ended leaves it alone: the sweep looks on."""
    current = runtime.current()
    delivery = f"{pushed.subscription}/{pushed.id}" if pushed.id else ""  # a push by hand has none
    try:
        task = _begin(current, this, _order(pushed), delivery=delivery)
    except transitions.Refused as refused:
        publish.to_results(current, refused.task, refused.outcome)
        log.event("refused", **view.about(refused.task), **(refused.outcome.error or {}))
        return
    except (errors.TaskEnded, errors.InProgress) as taken:
        log.event("left alone", **view.about(taken.task), code=taken.code, detail=taken.detail)
        return
    if task.terminal:
        endings.announce(current, task)
        return
    log.event("running", **view.about(task))
    context = Context(current, task, this.lease)
    attempt = attempts.run(current, this, context)
    if attempt is None:
        return
    if attempt.retryable and context.attempt < context.task.max_attempts:
        try:
            commits.release(current, context.task, attempt.error or {})
        except (errors.Fenced, errors.TaskEnded) as fenced:
            log.event("fenced", **view.about(context.task), detail=fenced.detail)
            return
        raise errors.AttemptFailed(f"attempt {context.attempt} failed: another one follows")
    _deliver(current, context.task, attempt)


def _deliver(current: Services, task: Task, outcome: Outcome) -> None:
    """Publishes the result; where Pub/Sub is away, settles the task here: the work is paid for."""
    try:
        publish.to_results(current, task, outcome)
    except errors.Unavailable as error:
        log.event("not published", "WARNING", **view.about(task), detail=error.detail)
        with contextlib.suppress(errors.Fenced):
            _settle(current, task, outcome)


def _run(this: Agent, request: flask.Request) -> flask.Response:
    """`POST /run`: one attempt while the caller waits; its failure is the task's."""
    current = runtime.current()
    caller = callers.identify(request)
    order = orders.asked(request, RUN)
    if "taskId" in order and not caller.orchestrator:
        raise errors.Forbidden("taskId: only the orchestrator may name one: see ORCHESTRATORS")
    _check_agent(this, order)
    replayed = {"Idempotent-Replayed": "true"}
    try:
        task = _begin(current, this, order, owner=caller.id)
    except transitions.Refused as refused:
        task = _settle(current, refused.task, refused.outcome)
    except errors.TaskEnded as ended:
        return endpoint.answer(view.shown(ended.task), headers=replayed)
    except errors.InProgress as taken:
        task = _awaited(current, taken.task)
        return endpoint.answer(view.shown(task), 200 if task.terminal else 202, replayed)
    else:
        if not task.terminal:
            task = _performed(current, this, task)
    return endpoint.answer(view.shown(task), 200 if task.terminal else 202)


def _order(pushed: bus.Pushed) -> dict[str, Any]:
    """The run object of a push; what has no `payload` is the payload itself."""
    if isinstance(pushed.data, Mapping) and "payload" in pushed.data:
        return schemas.load(RUN, pushed.data)
    return {"payload": pushed.data}


def _check_agent(this: Agent, order: Mapping[str, Any]) -> None:
    if order.get("agent", this.name) != this.name:
        errors.refuse([("agent", f"this is {this.name}, not {order['agent']}")])


def _begin(
    current: Services, this: Agent, order: dict[str, Any], *, owner: str = "", delivery: str = ""
) -> Task:
    """The task with an attempt begun, or ended at once; raises as `tasks.claim` does.

    An order that names no task makes one; `delivery` identifies the message it came in.
    """
    _check_agent(this, order)
    if "taskId" in order:
        told = messages.told(order, this.name)
        return commits.claim(current, told, this.cost, this.lease, this.max_attempts)
    task = orders.task(current, order, agent=this.name, owner=owner)
    if delivery and not task.idempotency_key:
        task = replace(task, id=record.keyed_id("delivery", delivery))
    task = replace(task, max_attempts=this.max_attempts or task.max_attempts)
    if task.account or current.config.require_account:
        # Money first: only an admitted task may run, also one that an earlier delivery has made.
        task = admission.secured(current, admission.place(current, task)[0])
        return task if task.terminal else commits.claim(current, task, this.cost, this.lease)
    task, replayed = commits.create_running(current, task, this.cost, this.lease)
    return commits.claim(current, task, this.cost, this.lease) if replayed else task


def _performed(current: Services, this: Agent, task: Task) -> Task:
    context = Context(current, task, this.lease)
    attempt = attempts.run(current, this, context)
    if attempt is not None:
        with contextlib.suppress(errors.Fenced):
            return _settle(current, context.task, attempt)
    return commits.get(current, task.id)  # it goes on by itself, or was taken from this attempt


def _settle(current: Services, task: Task, outcome: Outcome) -> Task:
    try:
        task = commits.finish(current, task, outcome)
    except errors.TaskEnded as ended:
        taken: Task = ended.task
        return taken
    endings.announce(current, task)
    return task


def _awaited(current: Services, task: Task) -> Task:
    """The task once another attempt has ended it; `errors.InProgress` if that takes long.

    One that waits for its children does so in no process.
    """
    if task.status != "waiting":
        task = commits.awaited(current, task, current.config.agent_timeout_seconds)
    if not task.terminal and task.status != "waiting":
        raise errors.InProgress("another attempt is running: ask again", retryAfter=1)
    return task
