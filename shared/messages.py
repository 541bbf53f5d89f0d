"""The messages of the hops: what `tasks`, `results` and `callbacks` carry, and the way back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared import models, money, strictjson
from shared.clock import SECOND
from shared.models import Fault, Task


def run(task: Task) -> dict[str, Any]:
    """The run object of a task: all that an attempt needs to begin without reading."""
    message = {
        "taskId": task.id,
        "version": task.version,
        "attempts": task.attempts,
        "maxAttempts": task.max_attempts,
        "agent": task.agent,
        "payload": json.loads(task.payload),
        "ttl": task.deadline / SECOND,
        "budgetCents": money.to_cents(task.budget),
        "chargedCents": money.to_cents(task.charged),
        "idempotencyKey": task.idempotency_key,
        "traceId": task.trace_id,
        "traceparent": task.traceparent,
        "callbackUrl": task.callback_url,
        "account": task.account,
        "owner": task.owner or None,
        "parent": task.parent,
        "parentKey": task.parent_key,
        "depth": task.depth or None,
        "resumed": task.resumed,
    }
    return {
        name: value for name, value in message.items() if value is not None or name == "payload"
    }


def attributes(task: Task) -> dict[str, str]:
    """The attributes of a task's message; subscriptions filter on `agent`."""
    named = {
        "agent": task.agent,
        "taskId": task.id,
        "traceId": task.trace_id,
        "idempotencyKey": task.idempotency_key,
        "traceparent": task.traceparent,
    }
    return {name: value for name, value in named.items() if value}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt, or a task without one, ended."""

    status: models.Status  # a terminal one
    result: str | None = None  # JSON
    error: Fault | None = None
    published_at: int | None = None  # when the message that tells it was, by Pub/Sub's clock


def result(task: Task, outcome: Outcome) -> dict[str, Any]:
    """The result message: all that `results` needs to settle the task without reading."""
    message = {
        "taskId": task.id,
        "version": task.version,
        "attempt": task.attempts,
        "refused": task.status == "queued" or None,
        "agent": task.agent,
        "status": outcome.status,
        "error": outcome.error,
        "costCents": money.to_cents(task.charged),
        "budgetCents": money.to_cents(task.budget),
        "traceId": task.trace_id,
        "traceparent": task.traceparent,
        "callbackUrl": task.callback_url,
        "parent": task.parent,
        "parentKey": task.parent_key,
    }
    # That it has no parent is said too: only who knows it may settle without a read.
    message = {
        name: value for name, value in message.items() if value is not None or name == "parent"
    }
    if outcome.result is not None:
        message["result"] = json.loads(outcome.result)
    return message


def encode(message: Mapping[str, Any]) -> bytes:
    """The message's data."""
    return strictjson.compact(message).encode()
