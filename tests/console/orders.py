"""Requests as a client makes them, beside what the browser does."""

from __future__ import annotations

import json
import urllib.request
from typing import Any


def call(method: str, url: str, body: Any = None) -> Any:
    """The JSON of an answer; raises `urllib.error.HTTPError` for a refusal."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, method=method)
    if data:
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def dispatch(url: str, agent: str, payload: Any, **rest: Any) -> str:
    """Dispatches a task; returns its id."""
    order = {"agent": agent, "payload": payload, "ttlSeconds": 60, "budgetCents": 20, **rest}
    task_id: str = call("POST", f"{url}/dispatch", order)["taskId"]
    return task_id


def ended(url: str, task_id: str) -> Any:
    """The task, once it has ended."""
    return call("GET", f"{url}/task/{task_id}?wait=60")
