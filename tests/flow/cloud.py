"""A running cloud as a client sees it."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import requests

from emulators.cluster import Cluster

PATIENCE = 60.0  # seconds; far more than anything here takes


class Cloud:
    """The cluster, and what a client does with it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.url = cluster.gateway_url

    def dispatch(self, agent: str = "light", **order: Any) -> requests.Response:
        """`POST /dispatch`; what is not named has a sensible value."""
        body = {"agent": agent, "payload": {"msg": "hi"}, "budgetCents": 10, **order}
        if "ttl" not in order:
            body = {"ttlSeconds": 60, **body}
        return self.post("/dispatch", body)

    def post(self, path: str, body: Any, **headers: str) -> requests.Response:
        """A JSON request to the gateway."""
        return requests.post(self.url + path, json=body, headers=headers, timeout=PATIENCE)

    def get(self, path: str) -> requests.Response:
        """A request to the gateway."""
        return requests.get(self.url + path, timeout=PATIENCE)

    def task(self, task_id: str) -> dict[str, Any]:
        """The task as it stands."""
        found: dict[str, Any] = self.get(f"/task/{task_id}").json()
        return found

    def ended(self, task_id: str) -> dict[str, Any]:
        """The task, once it has ended."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            found: dict[str, Any] = self.get(f"/task/{task_id}?wait=10").json()
            if "endedAt" in found:
                return found
        raise AssertionError(f"task {task_id} does not end: {found}")

    def push(self, data: Any, agent: str = "light", message_id: str = "") -> requests.Response:
        """A Pub/Sub push posted by hand to an agent."""
        url = f"{self.agent(agent)}/pubsub/push"
        return requests.post(url, json=envelope(data, message_id), timeout=PATIENCE)

    def agent(self, name: str) -> str:
        """Where an agent is reached through the local gateway."""
        return self.cluster.agent_url(name)


def envelope(data: Any, message_id: str = "", **attributes: str) -> Mapping[str, Any]:
    """A push as Pub/Sub makes it."""
    encoded = base64.b64encode(json.dumps(data).encode()).decode()
    message = {
        "data": encoded,
        "attributes": attributes,
        "messageId": message_id or uuid.uuid4().hex,
    }
    return {"message": message, "subscription": "projects/p/subscriptions/by-hand"}


def marks(path: Path) -> list[str]:
    """The marks that the agent `probe` has left: the attempt of each run."""
    return path.read_text().split() if path.exists() else []


def eventually(holds: Callable[[], Any]) -> Any:
    """What `holds` returns, once that is true."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = holds()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it never came to hold")
