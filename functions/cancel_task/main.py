"""`cancel_task`: ends a task at once; an attempt that is running is fenced off."""

from __future__ import annotations

import flask

from shared import callers, endpoint, errors, runtime, schemas
from shared.tasks import commits, endings, view

api = endpoint.Endpoint("cancel_task")


@api.route("POST", "/task/<task_id>/cancel")
def cancel(request: flask.Request, task_id: str) -> flask.Response:
    """The cancelled task; asked again, the same; 409 where it has ended otherwise."""
    current = runtime.current()
    theirs = callers.identify(request).task(current, schemas.task_id(task_id))
    try:
        task = commits.cancel(current, theirs.id)
    except errors.TaskEnded as ended:
        if ended.task.status != "cancelled":
            raise
        return endpoint.answer(view.shown(ended.task))
    endings.announce(current, task)
    return endpoint.answer(view.shown(task))


cancel_task = api.target()
