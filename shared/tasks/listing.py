"""Pages of tasks, the newest first."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from shared import limits
from shared.runtime import Services
from shared.storage import shards
from shared.storage.store import Filter, Query, pages
from shared.tasks import record, view

FILTERS = ("owner", "agent", "status", "account")


def page(services: Services, asked: Mapping[str, Any]) -> dict[str, Any]:
    """`{tasks, nextPageToken}` for a query as `schemas.TaskList` loads it.

    The token is there only where more may follow. A page of large tasks is shorter than its limit.
    """
    where: list[Filter] = [(name, "==", asked[name]) for name in FILTERS if name in asked]
    where += shards.every(services.config.sharded)
    after = _position(asked["pageToken"]) if "pageToken" in asked else None
    limit = asked["limit"]
    query = Query(
        collection=record.COLLECTION,
        where=where,
        order="-createdAt",
        limit=min(limit, limits.LISTED_AT_ONCE),
        after=after,
    )
    found = chain.from_iterable(pages(services.store, query))
    page: dict[str, Any] = {"tasks": []}
    size = 0
    for task in filter(None, map(record.from_document, found)):
        page["tasks"].append(view.shown(task))
        size += len(task.payload) + len(task.result or "")
        if len(page["tasks"]) == limit or size > limits.LISTED_BYTES:
            page["nextPageToken"] = _token(task)
            break
    return page


def _token(last: record.Task) -> str:
    return f"{last.created_at}.{last.id}"


def _position(token: str) -> tuple[int, str]:
    created_at, _, task_id = token.partition(".")
    return int(created_at), task_id
