"""A task's callback: what it says, when it is tried again, and when it is given up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from shared import callbacks, errors, log
from shared.clock import SECOND
from shared.runtime import Services
from shared.storage import retry
from shared.tasks import commits, dead_letters, messages, publish, view
from shared.tasks.record import Task

FIRST_PAUSE = 10  # seconds after the first failure, doubling; as Pub/Sub's own
LONGEST_PAUSE = 600  # seconds
GRACE = 60 * SECOND  # how long after a pause the sweep leaves the next try to Pub/Sub

CHANGING = ("callback", "redrivenAs")  # what a task that has ended may still change


def deliver(services: Services, task_id: str) -> Task:
    """Tries the callback of a task once, if it owes one and its pause is over.

    Returns the task once there is nothing more to do. Raises `errors.CallbackFailed`, with the
    seconds to wait as `retryAfter`, where it must be tried again; `errors.UnknownTask`.
    """
    task = commits.get(services, task_id)
    if task.owes_callback and task.callback_url:
        _check_pause(services, task)
        task = _noted(services, task, _sent(services, task, task.callback_url))
        log.event(f"callback {(task.callback or {})['state']}", **view.about(task))
        _check_pause(services, task)
    _record_failure(task)  # at a second delivery too: the first may have died just before
    return task


def again(services: Services, task_id: str) -> Task:
    """The task with its callback pending and announced anew, however it had ended before.

    Raises `errors.UnknownTask`, or `errors.NotRedrivable` where it has none to send.
    """

    def pending(task: Task) -> Task:
        if not task.terminal or not task.callback_url:
            raise errors.NotRedrivable("the task has no callback to send")
        fresh = {"state": "pending", "attempts": 0}
        return replace(task, callback=fresh, wake_at=services.now() + GRACE)

    task = _moved(services, commits.get(services, task_id), pending)
    publish.to_callback(services, task)
    return task


def event(task: Task) -> Mapping[str, Any]:
    """The webhook's body: the same at every try."""
    told = {name: told for name, told in view.shown(task).items() if name not in CHANGING}
    return {"type": f"task.{task.status}", "timestamp": told["endedAt"], "data": told}


def _sent(services: Services, task: Task, url: str) -> callbacks.Outcome:
    if not services.config.callback_secrets:
        raise errors.Misconfigured("CALLBACK_SECRETS: required to deliver callbacks")
    return callbacks.deliver(
        url,
        messages.encode(event(task)),
        f"msg_{task.id}",
        services.now() // SECOND,
        services.config.callback_secrets,
        services.config,
        services.network,
    )


def _check_pause(services: Services, task: Task) -> None:
    callback = task.callback or {}
    left = callback.get("nextAt", 0) - services.now()
    if task.owes_callback and left > 0:
        detail = f"attempt {callback['attempts']}: {callback['detail']}"
        raise errors.CallbackFailed(detail, retryAfter=math.ceil(left / SECOND))


def _noted(services: Services, task: Task, outcome: callbacks.Outcome) -> Task:
    """The task with an attempt's outcome; another delivery's end of it stands."""

    def noted(current: Task) -> Task:
        if not current.owes_callback:
            return current
        now, attempts = services.now(), (current.callback or {}).get("attempts", 0) + 1
        seen = {"attempts": attempts, "lastAt": now, "detail": outcome.detail}
        state: str = outcome.state
        if state == "retry":
            state = "pending" if attempts < services.config.callback_attempts else "failed"
        if state != "pending":
            return replace(current, callback={**seen, "state": state}, wake_at=None)
        growing = min(FIRST_PAUSE * 2 ** (attempts - 1), LONGEST_PAUSE)
        next_at = now + int(max(outcome.after or 0, growing) * SECOND)
        waiting = {**seen, "state": state, "nextAt": next_at}
        return replace(current, callback=waiting, wake_at=next_at + GRACE)

    return _moved(services, task, noted)


def _moved(services: Services, task: Task, change: Callable[[Task], Task]) -> Task:
    for _ in retry.tries():
        after = change(task)
        if after is task:
            return task
        try:
            return commits.move(services, task, after)
        except commits.Lost as lost:
            if lost.current is None:
                raise errors.UnknownTask(f"there is no task {task.id}") from None
            task = lost.current
    raise errors.Unavailable("the task changes too fast: try again")


def _record_failure(task: Task) -> None:
    """What was given up is kept with the dead letters; `again` sends it once more."""
    callback = task.callback or {}
    if callback.get("state") in ("failed", "gone"):
        kept = {"taskId": task.id, "url": task.callback_url}
        dead_letters.keep(f"callback-{task.id}", "callback_failed", callback["detail"], kept)
