"""What follows the end of a task: its callback, its parent, its children."""

from __future__ import annotations

from shared import errors, log
from shared.runtime import Services
from shared.tasks import commits, publish, view
from shared.tasks.record import Task


def announce(services: Services, task: Task) -> None:
    """Tells whom it concerns that a task has ended; what fails here the sweep does again.

    Its callback is published; its parent goes on if this was the last child; and children that it
    did not wait for are cancelled, which comes before its callback, for that names the cost.
    """
    log.event(task.status, **view.about(task))
    if task.owes_callback:
        publish.to_callback(services, task)
    moved = task.moved
    if moved and moved.status == "queued":
        log.event("resumed", **view.about(moved))
        publish.to_agent(services, moved)
    if moved and moved.owes_callback:
        publish.to_callback(services, moved)
    if task.pending:
        _cancel_children(services, task)


def _cancel_children(services: Services, task: Task) -> None:
    for child in (task.children or {}).values():
        if "status" in child:
            continue
        try:
            announce(services, commits.cancel(services, child["taskId"]))
        except errors.TaskEnded:
            continue
