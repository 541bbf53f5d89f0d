"""When a battle is over: everything must have come to rest, and the auditor has the last word."""

from __future__ import annotations

import asyncio
import time

from shared import ledgers
from shared.storage.store import Query, Store
from shared.tasks import record
from tests.chaos import auditor
from tests.chaos.cloud import Cloud

LOOK = 0.3  # seconds between two looks


async def drained(here: Cloud, seconds: float) -> str:
    """Waits until nothing moves any more; returns what still does when time is up."""
    store, give_up = here.services().store, time.monotonic() + seconds
    while left := await asyncio.to_thread(_left, store):
        if time.monotonic() > give_up:
            return left
        await asyncio.sleep(LOOK)
    return ""


def at_rest(here: Cloud) -> list[str]:
    """What the auditor finds wrong in the store itself."""
    terms = auditor.Terms(at_rest=True, never_lowered=True)
    return auditor.audit(here.services().store, terms)


def _left(store: Store) -> str:
    tasks = record.COLLECTION
    still = store.query(Query(collection=tasks, where=[("open", "==", True)], limit=5))
    if still:
        return f"tasks {[(each.id, each.data['status']) for each in still]}"
    due = store.query(Query(collection=tasks, order="wakeAt", limit=5))
    if due:
        return f"callbacks of {[each.id for each in due]}"
    for ledger in store.query(Query(collection=ledgers.LEDGERS, order="wakeAt", limit=5)):
        return f"purses of {ledger.id}"
    return ""
