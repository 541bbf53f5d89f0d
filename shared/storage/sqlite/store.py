"""The embedded store: SQLite that keeps Firestore's contract, for a machine with Python alone."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from shared import errors
from shared.storage.sqlite import database
from shared.storage.store import MISSING, Delete, Document, Patch, Put, Query, Total, Write

SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    collection TEXT NOT NULL, id TEXT NOT NULL, data TEXT NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY (collection, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_wake ON documents (collection, json_extract(data, '$.wakeAt'), id)
    WHERE json_extract(data, '$.wakeAt') IS NOT NULL;
CREATE INDEX IF NOT EXISTS by_created ON documents
    (collection, json_extract(data, '$.createdAt'), id);
CREATE INDEX IF NOT EXISTS by_agent ON documents
    (collection, json_extract(data, '$.agent'), json_extract(data, '$.createdAt'), id);
CREATE INDEX IF NOT EXISTS by_status ON documents
    (collection, json_extract(data, '$.status'), json_extract(data, '$.createdAt'), id);
CREATE INDEX IF NOT EXISTS by_purse ON documents (collection, json_extract(data, '$.purse'))
    WHERE json_extract(data, '$.purse') IS NOT NULL;
"""
POLL = 0.005  # seconds between two looks at the file while somebody waits
TIME = "$time"  # the one key of a map that stands for a time
FIELD = re.compile(r"-?[A-Za-z][A-Za-z0-9_.]*")


class EmbeddedStore:
    """Implements `shared.storage.store.Store`."""

    def __init__(self, path: str) -> None:
        self._database = database.Database(path, SCHEMA)

    def get(self, path: str) -> Document:
        """See `Store.get`."""
        with self._database.reading() as connection:
            return _read(connection, path)

    def commit(self, writes: Sequence[Write]) -> int:
        """See `Store.commit`; the commit's time never stands still, whatever the clock does."""
        with self._database.exclusive() as connection:
            version = database.now()
            before = {write.path: _read(connection, write.path) for write in writes}
            for write in writes:
                found = before[write.path].version
                if found != write.version:
                    raise errors.Conflict(f"{write.path} is at {found}, not at {write.version}")
                version = max(version, found + 1)
            for write in writes:
                _apply(connection, write, before[write.path].data, version)
        return version

    def query(self, query: Query) -> list[Document]:
        """See `Store.query`."""
        sql, values = _select(query)
        with self._database.reading() as connection:
            rows = connection.execute(sql, values).fetchall()
        read_at = database.now()
        return [
            Document(
                path=f"{query.collection}/{id_}",
                data=_loads(data),
                version=version,
                read_at=read_at,
            )
            for id_, data, version in rows
        ]

    def total(self, query: Query, sum_field: str) -> Total:
        """See `Store.total`; it waits for the writer at work, so that `read_at` is exact."""
        where, values = _where(query)
        column = _column(sum_field)
        where += f" AND {column} IS NOT NULL"
        with self._database.exclusive() as connection:
            read_at = database.now()
            row = connection.execute(
                f"SELECT count(*), coalesce(sum({column}), 0) FROM documents WHERE {where}", values
            ).fetchone()
        return Total(count=row[0], sum=row[1], read_at=read_at)

    def wait(self, path: str, until: Callable[[Document], bool], seconds: float) -> Document:
        """See `Store.wait`."""
        deadline = time.monotonic() + seconds
        while True:
            seen = self._database.changes()
            document = self.get(path)
            if until(document):
                return document
            while self._database.changes() == seen:
                if time.monotonic() >= deadline:
                    return document
                time.sleep(POLL)


def _read(connection: sqlite3.Connection, path: str) -> Document:
    collection, _, id_ = path.partition("/")
    row = connection.execute(
        "SELECT data, version FROM documents WHERE collection = ? AND id = ?", (collection, id_)
    ).fetchone()
    data, version = (_loads(row[0]), row[1]) if row else ({}, MISSING)
    return Document(path=path, data=data, version=version, read_at=database.now())


def _apply(
    connection: sqlite3.Connection, write: Write, before: Mapping[str, Any], version: int
) -> None:
    collection, _, id_ = write.path.partition("/")
    if isinstance(write, Delete):
        connection.execute(
            "DELETE FROM documents WHERE collection = ? AND id = ?", (collection, id_)
        )
        return
    data = dict(write.data) if isinstance(write, Put) else _patched(before, write)
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, default=_encoded)
    connection.execute(
        "INSERT INTO documents (collection, id, data, version) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET data = excluded.data, version = excluded.version",
        (collection, id_, text, version),
    )


def _patched(before: Mapping[str, Any], patch: Patch) -> dict[str, Any]:
    data = dict(before)
    for path, value in patch.fields.items():
        _set(data, path.split("."), value)
    for path in patch.remove:
        _remove(data, path.split("."))
    return data


def _set(data: dict[str, Any], segments: Sequence[str], value: Any) -> None:
    """Sets what a dotted path leads to; maps on its way are made where they are missing."""
    *parents, last = segments
    for segment in parents:
        nested = data.get(segment)
        data[segment] = dict(nested) if isinstance(nested, dict) else {}
        data = data[segment]
    data[last] = value


def _remove(data: dict[str, Any], segments: Sequence[str]) -> None:
    """Removes what a dotted path leads to, if that is there."""
    *parents, last = segments
    for segment in parents:
        if not isinstance(data.get(segment), dict):
            return
        data = data[segment]
    data.pop(last, None)


def _encoded(value: Any) -> Any:
    """A time as JSON, which has no type for it."""
    if isinstance(value, datetime):
        return {TIME: value.astimezone(UTC).isoformat()}
    raise TypeError(f"not a value of a document: {value!r}")


def _decoded(value: dict[str, Any]) -> Any:
    return datetime.fromisoformat(value[TIME]) if TIME in value else value


def _loads(data: str) -> Any:
    return json.loads(data, object_hook=_decoded if TIME in data else None)


def _column(name: str) -> str:
    if not FIELD.fullmatch(name):
        raise ValueError(f"not a field: {name}")
    return f"json_extract(data, '$.{name}')"


def _where(query: Query) -> tuple[str, list[Any]]:
    clauses, values = ["collection = ?"], [query.collection]
    for name, operator, value in query.where:
        if operator == "in":
            clauses.append(f"{_column(name)} IN ({', '.join('?' * len(value))})")
            values += value
        else:
            clauses.append(f"{_column(name)} {operator} ?")
            values.append(value)
    return " AND ".join(clauses), values


def _select(query: Query) -> tuple[str, list[Any]]:
    where, values = _where(query)
    order, direction, beyond = "id", "", ">"
    if query.order:
        order = _column(query.order.removeprefix("-"))
        where += f" AND {order} IS NOT NULL"
    if query.order and query.order.startswith("-"):
        direction, beyond = " DESC", "<"
    if query.after:
        # The first condition repeats a part of the second: SQLite finds its way in by that.
        where += f" AND {order} {beyond}= ? AND ({order}, id) {beyond} (?, ?)"
        after = query.after if query.order else (query.after[1], query.after[1])
        values += (after[0], *after)
    sql = f"SELECT id, data, version FROM documents WHERE {where}"
    return f"{sql} ORDER BY {order}{direction}, id{direction} LIMIT ?", [*values, query.limit]
