"""Pages of tasks, the newest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared import models, shards
from shared.services import Services
from shared.store import Filter, Query

FILTERS = ("owner", "agent", "status", "account")


def tasks(services: Services, asked: Mapping[str, Any]) -> dict[str, Any]:
    """`{tasks, nextPageToken}` for a query as `schemas.TaskList` loads it.

    The token is there only where more may follow.
    """
    where: list[Filter] = [(name, "==", asked[name]) for name in FILTERS if name in asked]
    where += shards.every(services.config.sharded)
    after = _position(asked["pageToken"]) if "pageToken" in asked else None
    limit = asked["limit"]
    query = Query(
        collection=models.COLLECTION, where=where, order="-createdAt", limit=limit, after=after
    )
    found = [models.from_document(document) for document in services.store.query(query)]
    page: dict[str, Any] = {"tasks": [task.view() for task in found if task]}
    if len(found) == limit and found[-1]:
        page["nextPageToken"] = _token(found[-1])
    return page


def _token(last: models.Task) -> str:
    return f"{last.created_at}.{last.id}"


def _position(token: str) -> tuple[int, str]:
    created_at, _, task_id = token.partition(".")
    return int(created_at), task_id
