"""Agent `light` without storage: echoes its payload."""

from __future__ import annotations

from typing import Any

import flask

from tests.bench.floor import hop


def agent_light(request: flask.Request) -> Any:
    if request.method == "GET":
        return "ok"
    task = hop.pushed(request)
    hop.publish("results", {"taskId": task["taskId"], "result": {"echo": task["payload"]}})
    return "", 204
