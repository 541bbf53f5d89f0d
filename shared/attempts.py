"""An attempt: one run of an agent's own code, and what became of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from shared import children, errors, limits, log, schemas, strictjson
from shared.children import Suspension
from shared.context import Context, Continuation
from shared.runtime import Services
from shared.tasks import commits, publish, transitions, view
from shared.tasks.record import Outcome, Task

Work = Callable[[Any, Context], Any]


class Failure(Exception):
    """Raised by an agent: this task cannot succeed, another attempt would not help."""

    def __init__(self, detail: str, code: str = "agent_failed") -> None:
        """`code` is for programs; raises ValueError where it does not match `schemas.CODE`."""
        if not re.fullmatch(schemas.CODE, code):
            raise ValueError(f"code: must match {schemas.CODE}, not {code!r}")
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Agent:
    """An agent: its code, and the terms on which it runs."""

    name: str
    work: Work
    cost: int  # micros, charged as an attempt begins
    lease: float  # seconds
    max_attempts: int | None  # None: as the environment says


@dataclass(frozen=True, kw_only=True)
class Attempt(Outcome):
    """How an attempt ended, and whether another one may end better."""

    retryable: bool = False


def run(current: Services, this: Agent, context: Context) -> Attempt | None:
    """How the attempt ended; None where it has not: it waits, goes on later, or is fenced off."""
    try:
        try:
            return _outcome(this, context)
        except Suspension as waiting:
            children.suspend(current, context.task, waiting.children)
        except Continuation as later:
            _go_on(current, context.task, later.state)
    except (errors.Fenced, errors.TaskEnded, commits.Lost) as fenced:
        log.event("fenced", **view.about(context.task), detail=fenced.detail)
    except errors.Error as error:  # had it been written after all, the attempt is fenced off
        return replace(_failed(error.code, error.detail), retryable=error.retryable)
    return None


def _go_on(current: Services, task: Task, state: str) -> None:
    """Leaves the task to a fresh delivery."""
    paused = transitions.paused(current, task, "continued")
    publish.to_agent_soon(current, commits.move(current, task, replace(paused, state=state)))


def _outcome(this: Agent, context: Context) -> Attempt:
    """Runs the agent's own code, whatever that does."""
    try:
        result = this.work(json.loads(context.task.payload), context)
    except (errors.Fenced, errors.TaskEnded):
        raise
    except Failure as failure:
        return _failed(failure.code, str(failure))
    except errors.Expired as error:
        return Attempt(status="expired", error=transitions.fault(error.code, error.detail))
    except errors.Error as error:
        return replace(_failed(error.code, error.detail), retryable=error.retryable)
    except Exception as error:
        told = {"exception": repr(error), "stack": log.stack(error)}
        log.event("attempt failed", "WARNING", **view.about(context.task), **told)
        detail = f"{type(error).__name__}: {error}"
        return replace(_failed("agent_error", detail), retryable=True)
    try:
        text = strictjson.dumps(result)
    except ValueError as error:
        return _failed("result_invalid", str(error))
    if len(text.encode()) > limits.RESULT:
        return _failed("result_too_large", f"the result has more than {limits.RESULT} bytes")
    return Attempt(status="succeeded", result=text)


def _failed(code: str, detail: str) -> Attempt:
    return Attempt(status="failed", error=transitions.fault(code, detail))
