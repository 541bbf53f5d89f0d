"""The witness: writes down every commit of a run, in the order in which they took effect."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.cloud.firestore_v1.types import firestore as messages

from shared.storage.google import codec as wire
from shared.storage.sqlite import store
from tests.chaos.history import Change
from tests.chaos.proxy import Call

TABLE = """
CREATE TABLE IF NOT EXISTS history (
    row INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL, version INTEGER NOT NULL, data TEXT
);
CREATE TRIGGER IF NOT EXISTS on_insert AFTER INSERT ON documents BEGIN
    INSERT INTO history (path, version, data)
    VALUES (new.collection || '/' || new.id, new.version, new.data);
END;
CREATE TRIGGER IF NOT EXISTS on_update AFTER UPDATE ON documents BEGIN
    INSERT INTO history (path, version, data)
    VALUES (new.collection || '/' || new.id, new.version, new.data);
END;
CREATE TRIGGER IF NOT EXISTS on_delete AFTER DELETE ON documents BEGIN
    INSERT INTO history (path, version) VALUES (old.collection || '/' || old.id, old.version);
END;
"""
SEGMENT = re.compile(r"`([^`]*)`|([^.`]+)")


class Embedded:
    """Triggers in the test's own database write the history down in the commits themselves."""

    def __init__(self, path: Path) -> None:
        store.EmbeddedStore(str(path)).get("tasks/none")  # makes the file and its tables
        self._connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
        self._connection.executescript(TABLE)

    def changes(self) -> Iterator[Change]:
        """What was committed, in the commits' order."""
        rows = self._connection.execute("SELECT path, version, data FROM history ORDER BY row")
        for path, version, data in rows:
            yield Change(path=path, version=version, data=json.loads(data) if data else None)


class Firestore:
    """Sees the commits that took effect on their way through the proxy.

    The emulator itself fails a commit now and then that has taken effect. Such a one is known by
    what others then find: a document at a version that no commit was seen to make.
    """

    def __init__(self) -> None:
        self._commits: dict[int, bytes] = {}  # by their time
        self._failed: list[bytes] = []
        self._found: set[tuple[int, str]] = set()  # versions of documents that were read

    def __call__(self, call: Call, answers: list[bytes]) -> None:
        """As `proxy.Witness`."""
        if call.method == "Commit" and answers:
            answer = messages.CommitResponse.pb().FromString(answers[0])
            self._commits[wire.micros(answer.commit_time)] = call.request
        elif call.method == "Commit":
            self._failed.append(call.request)
        elif call.method == "BatchGetDocuments":
            for each in map(messages.BatchGetDocumentsResponse.pb().FromString, answers):
                if each.found.name:
                    self._found.add((wire.micros(each.found.update_time), _path(each.found.name)))

    def changes(self) -> Iterator[Change]:
        """What was committed, in the order of the commits' times."""
        documents: dict[str, dict[str, Any]] = {}
        versions: dict[str, int] = {}
        commits, seen = self._commits.copy(), self._found.copy()  # the proxy goes on
        unseen = {found[0]: found for found in seen if found[0] not in commits}
        failed = [_writes(request) for request in self._failed.copy()]
        for version in sorted({*commits, *unseen}):
            if version in commits:
                writes = _writes(commits[version])
            else:
                path = unseen[version][1]
                writes = next(each for each in failed if _fits(each, path, versions.get(path, 0)))
            for write in writes:
                path = _path(write.delete or write.update.name)
                versions[path] = version
                if write.delete:
                    documents.pop(path, None)
                    yield Change(path=path, version=version, data=None)
                    continue
                documents[path] = _written(documents.get(path, {}), write)
                yield Change(path=path, version=version, data=documents[path])


def _path(name: str) -> str:
    return name.split("/documents/", 1)[1]


def _writes(request: bytes) -> list[Any]:
    return list(messages.CommitRequest.pb().FromString(request).writes)


def _fits(writes: list[Any], path: str, version: int) -> bool:
    """A commit that could change this document at this version."""
    return any(
        _path(write.delete or write.update.name) == path
        and wire.micros(write.current_document.update_time) == version
        for write in writes
    )


def _written(before: dict[str, Any], write: Any) -> dict[str, Any]:
    """The document after the write; what is unchanged is shared with the one before."""
    fields = {name: wire.decode(value) for name, value in write.update.fields.items()}
    if not write.HasField("update_mask"):
        return fields
    after = dict(before)
    for path in write.update_mask.field_paths:
        _copy(fields, after, [quoted or plain for quoted, plain in SEGMENT.findall(path)])
    return after


def _copy(source: dict[str, Any], target: dict[str, Any], segments: list[str]) -> None:
    """Makes one path of the target as it is in the source, also where it is missing there."""
    first, *rest = segments
    if not rest:
        if first in source:
            target[first] = source[first]
        else:
            target.pop(first, None)
        return
    nested = target.get(first)
    target[first] = dict(nested) if isinstance(nested, dict) else {}
    below = source.get(first)
    _copy(below if isinstance(below, dict) else {}, target[first], rest)
