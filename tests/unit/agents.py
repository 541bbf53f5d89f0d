"""Agents that do as their payload says; served by functions-framework in the tests."""

from __future__ import annotations

from typing import Any

from shared.agent import Failure, agent
from shared.context import Context

DETAILS = {"long": "no" * 5000, "lone surrogate": "no \ud800", "empty": ""}
RUNS: list[int] = []  # the attempts that ran


def _does(payload: Any, context: Context) -> Any:
    RUNS.append(context.attempt)
    match payload:
        case {"fail": str(detail), "code": str(code)}:
            raise Failure(detail, code)
        case {"fail": str(detail)}:
            raise Failure(DETAILS.get(detail, detail))
        case {"raise": str(detail), "until": int(attempt)} if context.attempt <= attempt:
            raise RuntimeError(DETAILS.get(detail, detail))
        case {"return": "nan"}:
            return float("nan")
        case {"return": "an object"}:
            return object()
        case {"return": int(size)}:
            return "x" * size
        case {"tell": True}:
            return {
                "taskId": context.task_id,
                "attempt": context.attempt,
                "traceId": context.trace_id,
                "deadline": context.deadline,
                "budgetCents": context.budget_cents,
                "remainingCents": context.remaining_cents,
            }
    return {"echo": payload}


@agent(cost_cents=5)
def agent_test(payload: Any, context: Context) -> Any:
    return _does(payload, context)


@agent(cost_cents=2.5, lease_seconds=7, max_attempts=2)
def agent_own_terms(payload: Any, context: Context) -> Any:
    return _does(payload, context)
