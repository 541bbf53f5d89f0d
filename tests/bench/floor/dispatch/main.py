"""`dispatch` without storage: names the task and publishes it."""

from __future__ import annotations

import secrets
from typing import Any

import flask

from tests.bench.floor import hop


def dispatch(request: flask.Request) -> Any:
    if request.method == "GET":
        return "ok"
    task = {**request.get_json(), "taskId": secrets.token_hex(16)}
    hop.publish("tasks", task)
    return task, 202
