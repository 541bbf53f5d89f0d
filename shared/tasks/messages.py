"""The messages of the hops: what `tasks`, `results` and `callbacks` carry, and the way back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shared import (
    errors,
    limits,
    money,
    strictjson,
)
from shared.clock import SECOND
from shared.tasks.record import Outcome, Task


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


def told(order: Mapping[str, Any], default_agent: str) -> Task:
    """The task of a run object that names it, as far as its message tells."""
    return Task(
        id=order["taskId"],
        agent=order.get("agent", default_agent),
        owner=order.get("owner", ""),
        version=order.get("version", 0),
        payload=payload(order),
        deadline=order.get("ttl", 0),
        budget=order.get("budgetCents", 0),
        held=order.get("budgetCents", 0),
        charged=order.get("chargedCents", 0),
        attempts=order.get("attempts", 0),
        max_attempts=order.get("maxAttempts", 1),
        idempotency_key=order.get("idempotencyKey"),
        trace_id=order.get("traceId", ""),
        traceparent=order.get("traceparent"),
        callback_url=order.get("callbackUrl"),
        account=order.get("account"),
        parent=order.get("parent"),
        parent_key=order.get("parentKey"),
        depth=order.get("depth", 0),
        resumed=order.get("resumed"),
    )


def payload(order: Mapping[str, Any]) -> str:
    """The payload as JSON; raises `errors.Invalid` where it leaves no room for a message."""
    try:
        text = strictjson.dumps(order["payload"])
    except ValueError as error:
        errors.refuse([("payload", str(error))])
    if len(text.encode()) > limits.BODY:  # 1e15 has become 1000000000000000.0
        errors.refuse([("payload", f"must have at most {limits.BODY} bytes, written out")])
    return text
