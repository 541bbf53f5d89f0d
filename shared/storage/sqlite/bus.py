"""The embedded bus: topics and subscriptions as rows of a SQLite table, delivered at least once."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.storage.sqlite import database

SCHEMA = """
CREATE TABLE IF NOT EXISTS subscriptions (
    name TEXT PRIMARY KEY, topic TEXT NOT NULL, filter TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages (
    row INTEGER PRIMARY KEY AUTOINCREMENT, subscription TEXT NOT NULL, message_id TEXT NOT NULL,
    data BLOB NOT NULL, attributes TEXT NOT NULL, published_at INTEGER NOT NULL,
    visible_at INTEGER NOT NULL, attempt INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS by_visible ON messages (subscription, visible_at);
"""
SECOND = 1_000_000  # microseconds


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A message on its way to one subscriber, for the `attempt`-th time."""

    ack_id: str
    message_id: str
    data: bytes
    attributes: Mapping[str, str]
    published_at: int  # microseconds since the epoch
    attempt: int


class Queue:
    """Implements `shared.storage.bus.Bus`, and the pull side that the bridge delivers from."""

    def __init__(self, path: str) -> None:
        # A file of their own beside the store's: neither waits for who writes to the other.
        self._database = database.Database(f"{path}.bus", SCHEMA)

    def subscribe(
        self, name: str, topic: str, attribute_filter: Mapping[str, str] | None = None
    ) -> None:
        """Makes the subscription, or brings it to these terms; what it holds stays."""
        with self._database.exclusive() as connection:
            connection.execute(
                "INSERT INTO subscriptions VALUES (?, ?, ?)"
                " ON CONFLICT DO UPDATE SET topic = excluded.topic, filter = excluded.filter",
                (name, topic, json.dumps(dict(attribute_filter or {}))),
            )

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """See `Bus.publish`; a topic without a subscription keeps nothing, as in Pub/Sub."""
        message_id, now = str(secrets.randbits(63)), database.now()
        with self._database.exclusive() as connection:
            rows = connection.execute(
                "SELECT name, filter FROM subscriptions WHERE topic = ?", (topic,)
            ).fetchall()
            for name, wanted in rows:
                if json.loads(wanted).items() <= attributes.items():
                    connection.execute(
                        "INSERT INTO messages VALUES (NULL, ?, ?, ?, ?, ?, ?, 0)",
                        (name, message_id, data, json.dumps(dict(attributes)), now, now),
                    )
        return message_id

    def pull(self, subscription: str, limit: int, ack_deadline_seconds: float) -> list[Delivery]:
        """Messages that are due, hidden from other pulls until their ack deadline has passed."""
        now = database.now()
        due = (
            "SELECT row FROM messages WHERE subscription = ? AND visible_at <= ?"
            " ORDER BY visible_at LIMIT ?"
        )
        with self._database.reading() as connection:  # an idle look takes no write lock
            if not connection.execute(due, (subscription, now, 1)).fetchone():
                return []
        with self._database.exclusive() as connection:
            rows = connection.execute(
                f"UPDATE messages SET attempt = attempt + 1, visible_at = ? WHERE row IN ({due})"
                " RETURNING row, message_id, data, attributes, published_at, attempt",
                (now + int(ack_deadline_seconds * SECOND), subscription, now, limit),
            ).fetchall()
        return [
            Delivery(
                ack_id=f"{row}:{attempt}",
                message_id=message_id,
                data=data,
                attributes=json.loads(attributes),
                published_at=published_at,
                attempt=attempt,
            )
            for row, message_id, data, attributes, published_at, attempt in rows
        ]

    def ack(self, ack_ids: Sequence[str]) -> None:
        """Forgets the messages."""
        with self._database.exclusive() as connection:
            connection.executemany(
                "DELETE FROM messages WHERE row = ?", [(_parts(ack_id)[0],) for ack_id in ack_ids]
            )

    def nack(self, ack_id: str, delay_seconds: float) -> None:
        """Delivers the message again after a delay, unless a later delivery is under way."""
        visible_at = database.now() + int(delay_seconds * SECOND)
        with self._database.exclusive() as connection:
            connection.execute(
                "UPDATE messages SET visible_at = ? WHERE row = ? AND attempt = ?",
                (visible_at, *_parts(ack_id)),
            )

    def version(self) -> int:
        """A number that differs after another connection has written."""
        return self._database.changes()


def _parts(ack_id: str) -> tuple[int, int]:
    row, _, attempt = ack_id.partition(":")
    return int(row), int(attempt)
