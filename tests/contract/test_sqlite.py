"""The embedded file is shared by threads and processes that open it at the same moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import errors
from shared.storage.sqlite.database import BUSY
from shared.storage.sqlite.store import EmbeddedStore
from shared.storage.store import MISSING


def busy(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = code
    return error


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[sqlite3.OperationalError]]:
    """What the next scripts are refused with."""
    waiting: list[sqlite3.OperationalError] = []

    class Connection(sqlite3.Connection):
        def executescript(self, script: str) -> sqlite3.Cursor:
            if waiting:
                raise waiting.pop()
            return super().executescript(script)

    connect = sqlite3.connect

    def connected(path: Path, timeout: float, isolation_level: None) -> sqlite3.Connection:
        assert timeout == BUSY
        return connect(path, timeout, isolation_level=isolation_level, factory=Connection)

    monkeypatch.setattr(sqlite3, "connect", connected)
    yield waiting
    assert not waiting


def test_a_file_that_others_open_too_is_opened_once_they_are_done(
    tmp_path: Path, refusals: list[sqlite3.OperationalError]
) -> None:
    """SQLite waits for another's lock, but not where both have begun to read and want to write."""
    refusals += [busy(sqlite3.SQLITE_BUSY), busy(sqlite3.SQLITE_BUSY_SNAPSHOT)]
    assert EmbeddedStore(str(tmp_path / "file")).get("tasks/none").version == MISSING


def test_a_file_that_cannot_be_opened_is_unavailable(
    tmp_path: Path, refusals: list[sqlite3.OperationalError]
) -> None:
    refusals.append(busy(sqlite3.SQLITE_IOERR))
    with pytest.raises(errors.Unavailable, match="locked"):
        EmbeddedStore(str(tmp_path / "file")).get("tasks/none")
