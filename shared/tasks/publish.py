"""From hop to hop: what is published once a commit has made it true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared import errors, log
from shared.runtime import Services
from shared.tasks import messages, view
from shared.tasks.record import Outcome, Task

HOPS = ("tasks", "results", "callbacks")


def to_agent(services: Services, task: Task) -> None:
    """Hands a queued task to its agent; raises `errors.Unavailable`."""
    _publish(services, "tasks", task, messages.run(task))


def to_agent_soon(services: Services, task: Task) -> None:
    """The same for what is safe already: a task that is not published now is by the sweep."""
    try:
        to_agent(services, task)
    except errors.Unavailable as error:
        log.event("not published yet", "WARNING", **view.about(task), detail=error.detail)


def to_results(services: Services, task: Task, outcome: Outcome) -> None:
    """Hands an attempt's outcome to `results`; raises `errors.Unavailable`."""
    _publish(services, "results", task, messages.result(task, outcome))


def to_callback(services: Services, task: Task) -> None:
    """Has the end of a task told to its callback; raises `errors.Unavailable`."""
    _publish(services, "callbacks", task, {"taskId": task.id})


def _publish(services: Services, hop: str, task: Task, message: Mapping[str, Any]) -> None:
    attributes = {**messages.attributes(task), "hop": hop}
    services.bus.publish(services.config.topic(hop), messages.encode(message), attributes)
