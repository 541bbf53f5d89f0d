"""The demo: one task through every hop, its timeline shown as it happens."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

from emulators import journal
from emulators.cluster import Cluster

PATIENCE = 60.0  # seconds until it must have ended
LOOK = 0.05  # seconds between two looks
TERMINAL = ("succeeded", "failed", "expired", "cancelled")
ORDER = {
    "agent": "light",
    "payload": {"msg": "hi"},
    "ttlSeconds": PATIENCE,
    "budgetCents": 10,
}


def run(cluster: Cluster, colour: bool) -> bool:
    """Dispatches the task and follows it; returns whether it succeeded."""
    logs = journal.Journal(cluster.layout.data / "logs")
    logs.news()
    print(f"\nPOST /dispatch {json.dumps(ORDER)}\n", flush=True)
    began = time.monotonic()
    task = _call(f"{cluster.gateway_url}/dispatch", ORDER)
    url = f"{cluster.gateway_url}/task/{task['taskId']}"
    while task["status"] not in TERMINAL and time.monotonic() - began < PATIENCE:
        _show(logs, task["taskId"], colour)
        time.sleep(LOOK)
        task = _call(url)
    _show(logs, task["taskId"], colour)
    _conclude(task)
    return bool(task["status"] == "succeeded")


def _show(logs: journal.Journal, task_id: str, colour: bool) -> None:
    for entry in logs.news():
        if entry.get("taskId") == task_id:
            print(journal.readable(entry, colour), flush=True)


def _conclude(task: dict[str, Any]) -> None:
    """The timeline as the store has it, and the money."""
    print(f"\nGET /task/{task['taskId']}: {task['status']}")
    for event in task.get("timeline", ()):
        cents = f"  {event['chargedCents']} ¢" if "chargedCents" in event else ""
        print(f"  {event['at'][11:]:<17} {event['event']}{cents}")
    for name in ("result", "error"):
        if name in task:
            print(f"  {name} {json.dumps(task[name], ensure_ascii=False)}")
    print(
        f"  spent {task.get('costCents', 0)} ¢ of {task['budgetCents']} ¢,"
        f" held {task.get('heldCents', 0)} ¢",
        flush=True,
    )


def _call(url: str, body: Any = None) -> dict[str, Any]:
    """GET, or POST of a body; the JSON of the answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        found: dict[str, Any] = json.load(answer)
        return found
