"""The task: its record, its states, and how it looks in the store."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Literal, get_args

from shared.storage import shards
from shared.storage.store import MISSING, Document

Status = Literal["queued", "running", "waiting", "succeeded", "failed", "expired", "cancelled"]
STATUSES: tuple[str, ...] = get_args(Status)
LIVE = ("queued", "running", "waiting")
TERMINAL = ("succeeded", "failed", "expired", "cancelled")

COLLECTION = "tasks"
ID = re.compile(r"[0-9a-f]{32}")

DECIDED = ("wake_at", "lease_until")
SETTLED = ("attempts", "charged", "held", "error", "open")
MAPS = ("runs", "steps", "children")  # written entry by entry

Fault = Mapping[str, Any]  # {"code": …, "detail": …}: why an attempt or a task failed


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task. Times are microseconds since the epoch, money is micros.

    A hop that was handed its task by a message knows only what that message says; the rest stays
    at its default, and no commit writes a field that the hop did not change.
    """

    id: str
    agent: str
    version: int = MISSING
    owner: str = ""
    status: Status = "queued"
    payload: str = "null"  # JSON
    deadline: int = 0
    budget: int = 0
    held: int = 0  # live: the whole budget; terminal: what was charged
    charged: int = 0
    attempts: int = 0  # the fence: only the last attempt may spend or finish
    max_attempts: int = 1
    mode: str = "pubsub"
    idempotency_key: str | None = None
    fingerprint: str = ""
    trace_id: str = ""
    traceparent: str | None = None
    callback_url: str | None = None
    callback: Mapping[str, Any] | None = None  # {"state": …, "attempts": …}
    account: str | None = None
    ledger: str | None = None  # the account's ledger for the window in which the task was held
    purse: str | None = None
    purse_expiry: int | None = None
    held_at: int | None = None  # the commit that named the purse; None: this version's own
    created_at: int = 0
    ended_at: int | None = None
    expire_at: datetime | None = None  # when the database deletes it; as its TTL policy wants it
    wake_at: int | None = None  # when the sweep looks at it next; None: never again
    lease_until: int | None = None
    op: str = ""  # the operation that made this version
    result: str | None = None  # JSON
    error: Fault | None = None
    runs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by attempt
    steps: Mapping[str, Mapping[str, Any]] | None = None  # by name: what is done stays done
    progress: Mapping[str, Any] | None = None  # {"fraction": …, "text": …, "at": …}
    state: str | None = None  # JSON: what an attempt left to the next delivery
    resumed: bool | None = None  # the next attempt goes on with this one's work: no fixed cost
    parent: str | None = None  # the task whose budget covers this one's
    parent_key: str | None = None  # which of its calls this is
    depth: int = 0  # of a call within calls; a task that was dispatched has 0
    children: Mapping[str, Mapping[str, Any]] | None = None  # by call
    pending: int | None = None  # children that are open
    open: bool = True  # money may still move: live, or children are open
    redrive_of: str | None = None
    redriven_as: str | None = None
    moved: Task | None = None  # not stored: the ancestor that the end of this one moved on

    @property
    def path(self) -> str:
        """Where the store keeps it."""
        return path(self.id)

    @property
    def terminal(self) -> bool:
        """It has ended, and changes no more."""
        return self.status in TERMINAL

    @property
    def owes_callback(self) -> bool:
        """It and its children have ended, and its callback was not delivered yet."""
        return not self.open and (self.callback or {}).get("state") == "pending"

    def fields(self) -> dict[str, Any]:
        """The document: its shard, and every field that is set, under its camelCase name."""
        values = ((stored, getattr(self, name)) for name, stored in STORED.items())
        set_ = {stored: value for stored, value in values if value is not None}
        return {**set_, shards.FIELD: shards.of(self.id)}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


# The record's fields and the names they have in the store.
UNSTORED = ("id", "version", "moved")  # the first two are the document's own
STORED = {each.name: _camel(each.name) for each in fields(Task) if each.name not in UNSTORED}


def path(task_id: str) -> str:
    """Where the store keeps the task of that id."""
    return f"{COLLECTION}/{task_id}"


def from_document(document: Document) -> Task | None:
    """The task that a document holds; None where it does not exist."""
    if document.version == MISSING:
        return None
    known = {
        name: document.data[stored] for name, stored in STORED.items() if stored in document.data
    }
    return Task(id=document.id, version=document.version, **known)


def keyed_id(*scope: str) -> str:
    """The id of the one task that a key may make within its scope, as (owner, agent, key)."""
    return hashlib.sha256("\0".join(scope).encode()).hexdigest()[:32]


def changes(before: Task, after: Task) -> tuple[dict[str, Any], list[str]]:
    """What a commit must write: (fields by dotted path, fields to remove).

    Every transition decides anew when the task is due and who owns it, and an end settles all, so
    those are always written: a hop that knows only its message may not know what stands there.
    """
    always = DECIDED + SETTLED if after.terminal else DECIDED
    written: dict[str, Any] = {}
    removed: list[str] = []
    for name, stored in STORED.items():
        old, new = getattr(before, name), getattr(after, name)
        if name in MAPS:
            written |= _map_changes(stored, old or {}, new or {})
        elif new is None and (old is not None or name in always):
            removed.append(stored)
        elif new is not None and (new != old or name in always):
            written[stored] = new
    return written, removed


def _map_changes(
    stored: str, before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        f"{stored}.{key}.{name}": value
        for key, entry in after.items()
        for name, value in entry.items()
        if before.get(key, {}).get(name) != value
    }


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt, or a task without one, ended."""

    status: Status  # a terminal one
    result: str | None = None  # JSON
    error: Fault | None = None
    published_at: int | None = None  # when the message that tells it was, by Pub/Sub's clock
