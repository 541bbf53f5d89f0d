"""The frozen agent: stopped in its attempt until the next attempt has won; then awake."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import requests

from shared.storage.store import Document
from shared.tasks import record
from tests.chaos import cloud, history, journal, report

PAYLOAD = {"steps": 1, "charge": 4}
STEPS = {  # what is about to happen when it freezes, and the cents both attempts come to
    "claim": (1, 8),
    "charge of a step": (2, 13),
    "result of a step": (3, 14),
    "charge": (4, 13),
    "refund": (5, 17),
    "publication of the result": (6, 15),
}
CHOSEN = {"brief": ("charge",), "short": ("claim", "charge", "publication of the result")}
REFUSED = ("fenced", "late result", "left alone")  # what the log says of one that is too late
PATIENCE = 60.0  # seconds
PAUSE = 0.1  # seconds between two looks
ENVIRONMENT = {
    "LEASE_SECONDS": "2",
    "PUBLISH_GRACE_SECONDS": "1",
    "PURSE_SECONDS": "2",
    "WORKERS": "2",  # one process freezes, the other one takes over
}
Found = TypeVar("Found")


def part(options: report.Options) -> report.Part:
    """Freezes an agent at each of its steps in the full form, at some in the others."""
    names = STEPS if options.form == "full" else CHOSEN[options.form]
    violations: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="frozen-") as folder,
        cloud.running(
            Path(folder),
            google=options.google,
            emulators=options.emulators,
            env=ENVIRONMENT,
            only=("agent_worker", "dead_letter", "dispatch", "results", "sweep"),
            freezing=True,
        ) as here,
    ):
        for name in names:
            try:
                violations += _frozen(here, name)
            except TimeoutError as error:
                violations.append(f"frozen at its {name}: {error}")
        past = here.history()
        violations += past.violations + journal.doubtful(here.journal, past.tasks)
        violations += history.at_rest(past)
    return report.Part(
        name=f"frozen agent, {'google' if options.google else 'embedded'}",
        claim="stopped beyond its lease and awake after the next attempt won, it changes nothing",
        figures={"frozen at": ", ".join(names), "attempts": history.ended(past).attempts},
        violations=violations,
        replay=report.replay("frozen", options),
    )


def _frozen(here: cloud.Cloud, name: str) -> list[str]:
    step, cents = STEPS[name]
    task_id = record.keyed_id("", "worker", name)
    freezer = here.folder / "freezer"
    freezer.mkdir(exist_ok=True)
    (freezer / task_id).write_text(str(step))
    body = {
        "agent": "worker",
        "payload": PAYLOAD,
        "ttlSeconds": 300,
        "budgetCents": 50,
        "idempotencyKey": name,
    }
    requests.post(f"{here.url}/dispatch", json=body, timeout=PATIENCE).raise_for_status()
    pid = _awaited("it did not freeze", lambda: _text(freezer / f"{task_id}.frozen"))
    won = _awaited("no attempt won", lambda: _ended(here, task_id))
    refusals = _refusals(here, task_id)
    os.kill(int(pid), signal.SIGCONT)
    _awaited("it was not refused", lambda: _refusals(here, task_id) > refusals)
    return _wrong(name, won, here.services().store.get(won.path), cents)


def _wrong(name: str, won: Document, after: Document, cents: int) -> list[str]:
    wrong = []
    if after.version != won.version:
        wrong.append(f"frozen at its {name}, it changed the task: {won.data}, {after.data}")
    if (after.data["status"], after.data["charged"]) != ("succeeded", cents * 10_000):
        wrong.append(f"frozen at its {name}: should be {cents} cents: {after.data}")
    return wrong


def _awaited(otherwise: str, look: Callable[[], Found | None]) -> Found:
    """What `look` finds, once it finds something; raises TimeoutError."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        found = look()
        if found:
            return found
        time.sleep(PAUSE)
    raise TimeoutError(f"{otherwise} within {PATIENCE:g} s")


def _text(file: Path) -> str | None:
    text = file.read_text() if file.exists() else ""
    return text if text.endswith("\n") else None


def _ended(here: cloud.Cloud, task_id: str) -> Document | None:
    document = here.services().store.get(record.path(task_id))
    return document if document.data["status"] in record.TERMINAL else None


def _refusals(here: cloud.Cloud, task_id: str) -> int:
    logs = [here.cluster.log(name) for name in ("agent_worker", "results")]
    seen: list[dict[str, Any]] = [line for log in logs for line in cloud.lines(log)]
    return sum(line.get("taskId") == task_id and line["message"] in REFUSED for line in seen)
