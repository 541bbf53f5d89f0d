"""The health of the whole: how fast each hop is, what waits, and what did not come through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flask

import screens
from shared import clock, runtime
from shared.clock import SECOND
from shared.runtime import Services
from shared.storage import shards
from shared.storage.store import Query
from shared.tasks import dead_letters, record
from shared.tasks.record import Task

SAMPLE = 200  # newest tasks that the figures are taken from
LETTERS = 20  # newest dead letters that are shown
MINUTES = 30  # of the histogram


def show(request: flask.Request) -> flask.Response:
    """`{states, deadLetters, oldestDueAt, …}`; unless brief with `hops`, `minutes`, …"""
    current = runtime.current()
    now = current.now()
    found = {
        **({} if screens.brief(request) else _figures(_sample(current), now)),
        "now": clock.timestamp(now),
        "states": {status: _count(current, status) for status in record.LIVE},
        "deadLetters": _dead_letters(current),
        "oldestDueAt": _oldest_due(current, now),
    }
    return screens.data(found)


def _figures(sample: Sequence[Task], now: int) -> dict[str, Any]:
    """What the newest tasks tell."""
    since = sample[-1].created_at if sample else now
    return {
        "tasks": len(sample),
        "sinceAt": clock.timestamp(since) if sample else None,
        "hops": [_hop(name, spans, now - since) for name, spans in _spans(sample).items()],
        "minutes": _minutes(sample, now),
        "minutesAt": clock.timestamp(now),
    }


def _sample(services: Services) -> list[Task]:
    everywhere = shards.every(services.config.sharded)
    query = Query(collection=record.COLLECTION, where=everywhere, order="-createdAt", limit=SAMPLE)
    found = map(record.from_document, services.store.query(query))
    return [task for task in found if task]


def _spans(sample: Sequence[Task]) -> dict[str, list[int]]:
    """How long each passage through a hop took, in microseconds."""
    runs = [run for task in sample for run in task.runs.values()]
    return {
        "tasks": [
            task.runs["1"]["startedAt"] - task.created_at
            for task in sample
            if "startedAt" in task.runs.get("1", {})
        ],
        "attempts": [
            run.get("publishedAt", run["endedAt"]) - run["startedAt"]
            for run in runs
            if {"startedAt", "endedAt"} <= run.keys()
        ],
        "results": [
            run["endedAt"] - run["publishedAt"]
            for run in runs
            if {"publishedAt", "endedAt"} <= run.keys()
        ],
        "callbacks": [
            task.callback["lastAt"] - task.ended_at
            for task in sample
            if task.ended_at and task.callback and task.callback.get("state") == "delivered"
        ],
        "total": [task.ended_at - task.created_at for task in sample if task.ended_at],
    }


def _hop(name: str, spans: Sequence[int], span: int) -> Mapping[str, Any]:
    """One line of the table; durations in milliseconds."""
    ordered = sorted(max(0, each) for each in spans)
    return {
        "hop": name,
        "passed": len(ordered),
        "perMinute": round(len(ordered) * 60 * SECOND / span, 2) if span else 0,
        "p50Ms": _quantile(ordered, 0.5),
        "p95Ms": _quantile(ordered, 0.95),
    }


def _quantile(ordered: Sequence[int], q: float) -> float | None:
    """The nearest rank, in milliseconds; None of nothing."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] / 1000


def _minutes(sample: Sequence[Task], now: int) -> list[dict[str, int]]:
    """Tasks dispatched, and those of them that failed, a minute; the oldest first."""
    minutes = [{"dispatched": 0, "failed": 0} for _ in range(MINUTES)]
    for task in sample:
        back = (now - task.created_at) // (60 * SECOND)
        if 0 <= back < MINUTES:
            minutes[-1 - back]["dispatched"] += 1
            minutes[-1 - back]["failed"] += task.status in ("failed", "expired")
    return minutes


def _count(services: Services, status: str) -> int:
    query = Query(collection=record.COLLECTION, where=[("status", "==", status)])
    return services.store.total(query, "attempts").count


def _dead_letters(services: Services) -> list[dict[str, Any]]:
    found = services.store.query(
        Query(collection=dead_letters.COLLECTION, order="-recordedAt", limit=LETTERS)
    )
    return [
        {
            "id": letter.id,
            "code": letter.data["code"],
            "detail": letter.data["detail"],
            "recordedAt": clock.timestamp(letter.data["recordedAt"]),
        }
        for letter in found
    ]


def _oldest_due(services: Services, now: int) -> str | None:
    due = Query(
        collection=record.COLLECTION,
        where=[*shards.every(services.config.sharded), ("wakeAt", "<=", now)],
        order="wakeAt",
        limit=1,
    )
    found = services.store.query(due)
    return clock.timestamp(found[0].data["wakeAt"]) if found else None
