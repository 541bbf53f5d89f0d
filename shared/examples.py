"""Examples of the OpenAPI document: what a client sends, and what it gets back for that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ORDER: Mapping[str, Any] = {
    "agent": "light",
    "payload": {"msg": "hi"},
    "ttlSeconds": 60,
    "budgetCents": 10,
}
TASK: Mapping[str, Any] = {
    "taskId": "8dd2f4c5a9e34b7f9d0c1b2a3e4f5061",
    "agent": "light",
    "status": "succeeded",
    "attempts": 1,
    "budgetCents": 10,
    "heldCents": 0,
    "costCents": 5,
    "ttl": 1767225660.0,
    "createdAt": "2026-01-01T00:00:00.000000Z",
    "endedAt": "2026-01-01T00:00:00.017000Z",
    "traceId": "0af7651916cd43dd8448eb211c80319c",
    "mode": "pubsub",
    "payload": {"msg": "hi"},
    "result": {"echo": {"msg": "hi"}},
    "timeline": [
        {"event": "queued", "at": "2026-01-01T00:00:00.000000Z"},
        {"event": "running", "at": "2026-01-01T00:00:00.008000Z", "attempt": 1, "chargedCents": 5},
        {"event": "published", "at": "2026-01-01T00:00:00.012000Z", "attempt": 1},
        {"event": "succeeded", "at": "2026-01-01T00:00:00.017000Z"},
    ],
}
LIMIT: Mapping[str, Any] = {"limitCents": 5000, "window": "day", "owners": ["ann@example.com"]}

# By the schema that each is an example of.
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "Dispatch": ORDER,
    "Run": {name: value for name, value in ORDER.items() if name != "agent"},
    "Redrive": {"ttlSeconds": 600, "budgetCents": 20},
    "AccountLimit": LIMIT,
    "Task": TASK,
    "Tasks": {"tasks": [TASK]},
    "Account": {
        "account": "team-a",
        **LIMIT,
        "period": "2026-01-01",
        "spentCents": 1205.5,
        "heldCents": 200,
        "freeCents": 3594.5,
        "purses": 1,
    },
    "Webhook": {"type": "task.succeeded", "timestamp": TASK["endedAt"], "data": TASK},
    "Health": {"status": "ok"},
}
