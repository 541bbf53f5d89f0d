"""The list of tasks: its rows, its search, and the pulse that tells when to look again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import flask
from marshmallow import RAISE, Schema, fields, validate

import screens
from shared import endpoint, errors, fields as types, runtime, schemas
from shared.runtime import Services
from shared.storage import shards
from shared.storage.store import Query
from shared.tasks import commits, listing, record, view as views

LOOK = 1.6  # seconds between two looks for news; each look costs two reads
SHOWN = 50  # tasks on a page
SCANNED = 250  # tasks that one search looks through
SLIM = {"payload", "result", "timeline", "traceId", "callbackUrl", "children"}  # not in a row


class Listing(schemas.TaskList):
    """What is asked of the list; `text` is looked for in the newest tasks."""

    text = types.Text(most=200)
    limit = fields.Constant(SHOWN)


class Wait(Schema):
    """The query of the pulse: what was `seen` last, and how long to `wait` for another."""

    class Meta:
        unknown = RAISE

    seen = types.Text(most=100)
    wait = fields.Float(
        load_default=0.0,
        allow_nan=False,
        validate=validate.Range(0, 30, error="must lie between 0 and 30 seconds"),
    )


LISTING, WAIT = Listing(), Wait()


def index(request: flask.Request) -> flask.Response:
    """`{tasks, scanned?, nextPageToken?}`, the newest first."""
    current = runtime.current()
    asked = schemas.load(LISTING, endpoint.body(request))
    text = asked.pop("text", "").strip().casefold()
    if record.ID.fullmatch(text):
        found: dict[str, Any] = {"tasks": _one(current, text)}
    elif text:
        page = listing.page(current, {**asked, "limit": SCANNED})
        matching = [view for view in page["tasks"] if _matches(view, text)]
        found = {**page, "tasks": matching, "scanned": len(page["tasks"])}
    else:
        found = listing.page(current, asked)
    found["tasks"] = [_row(view) for view in found["tasks"]]
    return screens.data(found)


def pulse(request: flask.Request) -> flask.Response:
    """`{pulse}` as soon as it is another than the one seen, or when the wait is over."""
    current = runtime.current()
    asked = schemas.load(WAIT, request.args.to_dict())
    end = time.monotonic() + asked["wait"]
    while (beat := _pulse(current)) == asked.get("seen") and time.monotonic() < end:
        time.sleep(LOOK)
    return screens.data({"pulse": beat})


def _pulse(services: Services) -> str:
    """Differs once a task was dispatched, claimed, or has ended; two reads, however many tasks."""
    everywhere = shards.every(services.config.sharded)
    newest = services.store.query(
        Query(collection=record.COLLECTION, where=everywhere, order="-createdAt", limit=1)
    )
    live = services.store.total(
        Query(collection=record.COLLECTION, where=[("status", "in", list(record.LIVE))]), "attempts"
    )
    return f"{newest[0].id[:12] if newest else '-'}.{live.count}.{live.sum}"


def _one(services: Services, task_id: str) -> list[dict[str, Any]]:
    try:
        return [views.shown(commits.get(services, task_id))]
    except errors.UnknownTask:
        return []


def _matches(view: Mapping[str, Any], text: str) -> bool:
    return text in " ".join(map(str, view.values())).casefold()


def _row(view: Mapping[str, Any]) -> dict[str, Any]:
    row = {name: value for name, value in view.items() if name not in SLIM}
    started = [event["at"] for event in view["timeline"] if event["event"] == "running"]
    return {**row, "startedAt": started[0]} if started else row
