"""A SQLite file in WAL mode that threads and processes share: what the embedded backend is on."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared import errors

BUSY = 10.0  # seconds a connection waits for another's write to end


class Database:
    """Connections to one file, one a thread; the schema is made at the first."""

    def __init__(self, path: str, schema: str) -> None:
        self.path = Path(path)
        self._schema = schema
        self._local = threading.local()

    def connection(self) -> sqlite3.Connection:
        """This thread's connection, in autocommit mode; raises `errors.Unavailable`."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            with _translated():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                connection = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None)
                connection.execute("PRAGMA journal_mode=WAL")
                # The file survives a crash of any process; a power cut may take the last moments.
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.executescript(self._schema)
            self._local.connection = connection
        return connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection for one statement that reads; raises `errors.Unavailable`."""
        with _translated():
            yield self.connection()

    @contextmanager
    def exclusive(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no other writer overlaps: all of it holds, or none.

        Raises `errors.Unavailable` where the file stays locked, or cannot be written.
        """
        with _translated():
            connection = self.connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    def changes(self) -> int:
        """A number that differs after another connection has written."""
        with self.reading() as connection:
            return int(connection.execute("PRAGMA data_version").fetchone()[0])


@contextmanager
def _translated() -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as error:
        raise errors.Unavailable(f"the embedded database: {error}") from error


def now() -> int:
    """The clock of the embedded server: microseconds since the epoch."""
    return time.time_ns() // 1000
