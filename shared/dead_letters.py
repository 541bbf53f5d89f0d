"""Dead letters: messages that did not come through; kept for the operator, and revived."""

from __future__ import annotations

from typing import Any

from shared import errors, log, strictjson
from shared.runtime import Services
from shared.storage import bus
from shared.tasks import commits, dead_letters, endings, publish, record, transitions, view
from shared.tasks.record import Outcome, Task

MOST_REVIVALS = 10  # of one message


def revive(services: Services, pushed: bus.Pushed) -> None:
    """Sends a dead message on while that can help; what is over is recorded alone.

    A task is published anew from the store, or failed where it may not run again, which frees its
    money. A result or a callback is published as it was, a limited number of times.
    """
    dead_letters.keep(pushed.id, "dead_letter", f"from {_source(pushed)}", _kept(pushed))
    task = _task(services, pushed)
    if task is not None and task.terminal and not task.owes_callback:
        log.event("dead letter of an ended task", **view.about(task))
    elif task is not None and _hop(pushed) == "tasks":
        _again(services, task)
    else:
        _forward(services, pushed)


def _again(services: Services, task: Task) -> None:
    try:
        if services.now() >= task.deadline:
            late = transitions.fault("expired", "its message could not be delivered in time")
            ended = commits.finish(services, task, Outcome(status="expired", error=late))
            endings.announce(services, ended)
        elif task.status == "queued" and task.attempts >= task.max_attempts:
            dead = task.error or transitions.fault(
                "dead_letter", "its message could not be delivered"
            )
            ended = commits.finish(services, task, Outcome(status="failed", error=dead))
            endings.announce(services, ended)
        elif task.status == "queued":
            publish.to_agent(
                services, commits.move(services, task, transitions.woken(services, task))
            )
            log.event("published again", **view.about(task))
    except (commits.Lost, errors.TaskEnded, errors.Fenced):
        log.event("left alone", **view.about(task))  # somebody else has moved it on


def _forward(services: Services, pushed: bus.Pushed) -> None:
    hop = _hop(pushed)
    counted = pushed.attributes.get("revivals", "0")
    revivals = int(counted) + 1 if counted.isdecimal() else 1
    if revivals > MOST_REVIVALS:
        log.event("given up", "ERROR", revivals=revivals)
        return
    kept = {name: value for name, value in pushed.attributes.items() if not _added(name)}
    data = strictjson.compact(pushed.data).encode()
    services.bus.publish(services.config.topic(hop), data, {**kept, "revivals": str(revivals)})
    log.event("published again", hop=hop, revivals=revivals)


def _task(services: Services, pushed: bus.Pushed) -> Task | None:
    task_id = pushed.data.get("taskId") if isinstance(pushed.data, dict) else None
    if not isinstance(task_id, str) or not record.ID.fullmatch(task_id):
        return None
    return record.from_document(services.store.get(record.path(task_id)))


def _hop(pushed: bus.Pushed) -> str:
    """The hop it died on: as its sender says, or as it looks."""
    named = pushed.attributes.get("hop")
    if named in publish.HOPS:
        return named
    return "results" if isinstance(pushed.data, dict) and "status" in pushed.data else "tasks"


def _added(name: str) -> bool:
    return name.startswith("CloudPubSubDeadLetterSource")


def _source(pushed: bus.Pushed) -> str:
    return pushed.attributes.get(
        "CloudPubSubDeadLetterSourceSubscription", "an unknown subscription"
    )


def _kept(pushed: bus.Pushed) -> dict[str, Any]:
    return {"data": strictjson.compact(pushed.data), "attributes": dict(pushed.attributes)}
