"""A SQLite file in WAL mode that threads and processes share: what the embedded backend is on."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared import errors

KNOCK = 0.0002  # seconds between two tries to begin a write, at first: as long as most writes take
LONGEST_KNOCK = 0.005  # seconds, after a while
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
                # The file survives a crash of any process; a power cut may take the last moments.
                connection.execute("PRAGMA synchronous=NORMAL")
                _insist(connection, f"PRAGMA journal_mode=WAL; {self._schema}")
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
            _begin(connection)
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


def _begin(connection: sqlite3.Connection) -> None:
    """Becomes the one writer. SQLite's own waiting sleeps for up to 100 ms past its turn."""
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        _insist(connection, "BEGIN IMMEDIATE")
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY * 1000)}")


def _insist(connection: sqlite3.Connection, script: str) -> None:
    """Runs it as soon as no other connection is in its way: of some locks SQLite waits for none."""
    give_up, pause = time.monotonic() + BUSY, KNOCK
    while True:
        try:
            connection.executescript(script)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
        time.sleep(random.uniform(0, pause))
        pause = min(1.5 * pause, LONGEST_KNOCK)


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
