"""Durable steps: results kept with the task, so that no later attempt pays for them again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from shared import errors, limits, strictjson
from shared.tasks.record import Task

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Invalid(errors.Error):
    """A step's name, result or number is out of bounds."""

    status, code = 422, "step_invalid"


@dataclass(frozen=True)
class Paid:
    """What a step's function returns that did cost less than was charged for it."""

    result: Any
    cents: float  # what it did cost


class Unpaid(Exception):
    """Raised by a step's function `from` the error that shows that it did cost nothing."""


def done(task: Task, name: str) -> bool:
    """Whether the step's result is kept; raises `Invalid` where it may not even begin."""
    if not NAME.fullmatch(name):
        raise Invalid(f"a step's name must match {NAME.pattern}, not {name!r}")
    if name not in _kept(task) and len(_kept(task)) >= limits.STEPS:
        raise Invalid(f"step {name}: a task has at most {limits.STEPS} steps")
    return name in _kept(task)


def result(task: Task, name: str) -> Any:
    """The kept result."""
    return strictjson.loads(_kept(task)[name]["result"].encode())


def begun(task: Task, name: str, cost: int) -> Task:
    """The task with the step on record: should the process die now, its cost stays charged."""
    return _with(task, name, {"attempt": task.attempts, "cost": cost})


def kept(task: Task, name: str, value: Any, cost: int) -> Task:
    """The task with the step's result; raises `Invalid` where it is too large or no JSON."""
    try:
        text = strictjson.dumps(value)
    except ValueError as error:
        raise Invalid(f"step {name}: its result {error}") from None
    size = len(text.encode())
    if size > limits.STEP_RESULT:
        raise Invalid(f"step {name}: {size} bytes of result, {limits.STEP_RESULT} are allowed")
    others = sum(len(step["result"].encode()) for step in _kept(task).values())
    if size + others > limits.STEP_RESULTS:
        raise Invalid(f"step {name}: the results of all steps exceed {limits.STEP_RESULTS} bytes")
    return _with(task, name, {"attempt": task.attempts, "cost": cost, "result": text})


def _kept(task: Task) -> Mapping[str, Mapping[str, Any]]:
    return {name: step for name, step in (task.steps or {}).items() if "result" in step}


def _with(task: Task, name: str, step: dict[str, Any]) -> Task:
    return replace(task, steps={**(task.steps or {}), name: step})
