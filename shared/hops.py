"""From hop to hop: what is published once a commit has made it true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared import errors, log, messages, money
from shared.messages import Outcome
from shared.models import Task
from shared.runtime import Services

HOPS = ("tasks", "results", "callbacks")


def publish_task(services: Services, task: Task) -> None:
    """Hands a queued task to its agent; raises `errors.Unavailable`."""
    _publish(services, "tasks", task, messages.run(task))


def publish_soon(services: Services, task: Task) -> None:
    """The same for what is safe already: a task that is not published now is by the sweep."""
    try:
        publish_task(services, task)
    except errors.Unavailable as error:
        log.event("not published yet", "WARNING", **about(task), detail=error.detail)


def publish_result(services: Services, task: Task, outcome: Outcome) -> None:
    """Hands an attempt's outcome to `results`; raises `errors.Unavailable`."""
    _publish(services, "results", task, messages.result(task, outcome))


def publish_callback(services: Services, task: Task) -> None:
    """Has the end of a task told to its callback; raises `errors.Unavailable`."""
    _publish(services, "callbacks", task, {"taskId": task.id})


def _publish(services: Services, hop: str, task: Task, message: Mapping[str, Any]) -> None:
    attributes = {**messages.attributes(task), "hop": hop}
    services.bus.publish(services.config.topic(hop), messages.encode(message), attributes)


def about(task: Task) -> dict[str, Any]:
    """What a log line says of a task."""
    return {
        "taskId": task.id,
        "agent": task.agent,
        "attempt": task.attempts,
        "costCents": money.to_cents(task.charged),
        "traceId": task.trace_id,
    }
