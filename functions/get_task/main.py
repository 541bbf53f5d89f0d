"""`get_task`: one task, at once or as soon as it has ended; or a page of them."""

from __future__ import annotations

import flask

from shared import callers, endpoint, runtime, schemas
from shared.tasks import commits, listing, view

api = endpoint.Endpoint("get_task")
WAIT, LIST = schemas.Wait(), schemas.TaskList()


@api.route("GET", "/task/<task_id>")
def show(request: flask.Request, task_id: str) -> flask.Response:
    """The task; with `wait`, once it is terminal or that many seconds have passed."""
    current = runtime.current()
    caller = callers.identify(request)
    seconds = schemas.load(WAIT, endpoint.query(request))["wait"]
    task = caller.task(current, schemas.task_id(task_id))
    if seconds and not task.terminal:
        task = commits.awaited(current, task, seconds)
    return endpoint.answer(view.shown(task))


@api.route("GET", "/tasks")
def index(request: flask.Request) -> flask.Response:
    """`{tasks, nextPageToken}`: the caller's, the newest first, by agent, status or account."""
    caller = callers.identify(request)
    asked = schemas.load(LIST, endpoint.query(request))
    if not caller.admin:
        asked["owner"] = caller.id
    return endpoint.answer(listing.page(runtime.current(), asked))


get_task = api.target()
