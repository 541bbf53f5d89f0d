"""The task as others see it: a client, a log line."""

from __future__ import annotations

import json
from typing import Any

from shared import clock, money
from shared.tasks.record import Task


def about(task: Task) -> dict[str, Any]:
    """What a log line says of a task."""
    return {
        "taskId": task.id,
        "agent": task.agent,
        "attempt": task.attempts,
        "costCents": money.to_cents(task.charged),
        "traceId": task.trace_id,
    }


def shown(task: Task) -> dict[str, Any]:
    """The task as a client sees it: times in RFC 3339, money in cents, `ttl` in Unix time."""
    shown = {
        "taskId": task.id,
        "agent": task.agent,
        "owner": task.owner or None,
        "status": task.status,
        "attempts": task.attempts,
        "budgetCents": money.to_cents(task.budget),
        "heldCents": 0 if task.terminal else money.to_cents(task.held),
        "costCents": money.to_cents(task.charged),
        "ttl": task.deadline / clock.SECOND,
        "createdAt": clock.timestamp(task.created_at),
        "endedAt": clock.timestamp(task.ended_at),
        "traceId": task.trace_id,
        "mode": task.mode,
        "account": task.account,
        "idempotencyKey": task.idempotency_key,
        "callbackUrl": task.callback_url,
        "callback": _callback(task),
        "payload": json.loads(task.payload),
        "error": task.error,
        "progress": _progress(task),
        "steps": _steps(task),
        "parent": task.parent,
        "children": [child["taskId"] for child in (task.children or {}).values()] or None,
        "redriveOf": task.redrive_of,
        "redrivenAs": task.redriven_as,
        "timeline": timeline(task),
    }
    shown = {name: value for name, value in shown.items() if value is not None}
    if task.result is not None:
        shown["result"] = json.loads(task.result)  # which may be null
    return shown


def _progress(task: Task) -> dict[str, Any] | None:
    return {**task.progress, "at": clock.timestamp(task.progress["at"])} if task.progress else None


def _callback(task: Task) -> dict[str, Any] | None:
    if task.callback is None:
        return None
    times = {"lastAt": "lastAttemptAt", "nextAt": "nextAttemptAt"}
    return {
        times.get(name, name): clock.timestamp(value) if name in times else value
        for name, value in task.callback.items()
    }


def _steps(task: Task) -> list[dict[str, Any]] | None:
    return [
        {
            "step": name,
            "attempt": step["attempt"],
            "costCents": money.to_cents(step["cost"]),
            "done": "result" in step,
        }
        for name, step in (task.steps or {}).items()
    ] or None


def timeline(task: Task) -> list[dict[str, Any]]:
    """What happened, in order: `{event, at, …}` with `attempt`, `chargedCents` or `error`.

    `published`, of an attempt's result, is by Pub/Sub's clock; the rest is by the functions'.
    """
    events: list[dict[str, Any]] = [{"event": "queued", "at": task.created_at}]
    for attempt in sorted(task.runs, key=int):
        run = task.runs[attempt]
        if "startedAt" in run:
            charged = money.to_cents(run.get("charged", 0))
            start = {"event": "running", "at": run["startedAt"], "attempt": int(attempt)}
            events.append({**start, "chargedCents": charged})
        if "publishedAt" in run:
            sent = {"event": "published", "at": run["publishedAt"], "attempt": int(attempt)}
            events.append(sent)
        if "error" in run:
            end = {"event": "attempt_failed", "at": run["endedAt"], "attempt": int(attempt)}
            events.append({**end, "error": run["error"]})
        elif "paused" in run:
            end = {"event": run["paused"], "at": run["endedAt"], "attempt": int(attempt)}
            events.append(end)
    if task.ended_at is not None:
        events.append({"event": task.status, "at": task.ended_at})
    return [{**event, "at": clock.timestamp(event["at"])} for event in events]
