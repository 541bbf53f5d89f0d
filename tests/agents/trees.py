"""What must hold of a task and its children, as one commit left them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from shared.tasks.record import Task

Find = Callable[[str], Task | None]  # reads a task


def problems(task: Task, find: Find) -> Iterator[str]:
    """What is wrong with a task, and with what it says of its children."""
    yield from _alone(task)
    yield from _children(task, find)


def own(task: Task, find: Find) -> int:
    """What a closed task spent itself, in micros: the rest was its children's."""
    found = [find(entry["taskId"]) for entry in (task.children or {}).values()]
    return task.charged - sum(child.charged for child in found if child)


def _alone(task: Task) -> Iterator[str]:
    if not 0 <= task.charged <= task.budget:
        yield f"{task.charged} charged of {task.budget}"
    if sum(run.get("charged", 0) for run in task.runs.values()) != task.charged:
        yield f"its attempts were charged {task.runs}, it {task.charged}"
    if task.held != (task.charged if task.terminal else task.budget):
        yield f"it is {task.status}, and holds {task.held}"
    entries = task.children or {}
    if (task.pending or 0) != sum("status" not in entry for entry in entries.values()):
        yield f"{task.pending} pending of {dict(entries)}"
    if task.open != (not task.terminal or bool(task.pending)):
        yield f"it is {task.status} with {task.pending} pending, and open is {task.open}"
    if (task.status == "waiting") != (bool(task.pending) and not task.terminal):
        yield f"it is {task.status} with {task.pending} pending"


def _children(task: Task, find: Find) -> Iterator[str]:
    given = 0  # to children, less what came back
    for key, entry in (task.children or {}).items():
        child = find(entry["taskId"])
        if child is None or (child.parent, child.parent_key) != (task.id, key):
            yield f"child {key} does not know it"
            continue
        given += entry["budget"] if child.open else child.charged
        if (child.budget, child.deadline <= task.deadline) != (entry["budget"], True):
            yield f"child {key} has another budget, or a later deadline"
        if entry.get("status") != (None if child.open else child.status):
            yield f"child {key} is {child.status}, open {child.open}, and told as {entry}"
    spent = task.charged - given
    kept = sum(step["cost"] for step in (task.steps or {}).values())
    if spent < kept:
        yield f"it spent {spent} itself, its steps did cost {kept}"
