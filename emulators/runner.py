"""The runner: one process, kept alive: started, watched, started again, and stopped for good."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emulators.reaper import Reaper

HEALTHY = 5.0  # seconds of life, after which a death is an accident and not a habit
BACKOFF = (0.5, 1.0, 2.0, 5.0, 10.0)  # seconds before it is started again, by deaths in a row
GRACE = 3.0  # seconds it has to end by itself
TAIL = 20  # lines of its log that tell why it died


@dataclass(frozen=True, kw_only=True)
class Program:
    """What a process runs."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path  # gets all it writes
    health: str  # answers 200 once it is ready


@dataclass(frozen=True, kw_only=True)
class Death:
    """A process that ended by itself."""

    name: str
    code: int
    again: float  # seconds until it is started again
    tail: str  # the last lines that it wrote


class Process:
    """A program that runs, in a process group of its own, until `stop`."""

    def __init__(self, program: Program, reaper: Reaper, mourn: Callable[[Death], None]) -> None:
        """`mourn` is told of each death, on a thread of its own."""
        self.program = program
        self._reaper, self._mourn = reaper, mourn
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._pid_file = program.log.with_suffix(".pid")
        self._thread = threading.Thread(target=self._keep, daemon=True, name=program.name)

    def start(self) -> None:
        """Starts it, and returns at once."""
        self.program.log.parent.mkdir(parents=True, exist_ok=True)
        self.program.log.write_bytes(b"")
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """Its process id, which is its group's too; None while it is down."""
        with self._lock:
            return self._child.pid if self._child else None

    def ready(self) -> bool:
        """It answers."""
        try:
            with urllib.request.urlopen(self.program.health, timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """A `kill -9` of its whole group: an accident, after which it is started again."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """Asks it to end, and returns at once; `join` makes sure."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def join(self, grace: float = GRACE) -> None:
        """Waits until it has ended; after so many seconds it is killed."""
        if self._thread.ident is None:  # Ctrl-C came before it was started
            return
        self._thread.join(grace)
        self._signal(signal.SIGKILL)
        self._thread.join()

    def _keep(self) -> None:
        deaths = 0
        while not self._stopping.is_set():
            began, written = time.monotonic(), self.program.log.stat().st_size
            code = self._run()
            accident = code < 0 or time.monotonic() - began > HEALTHY
            deaths = 0 if accident else deaths + 1  # killed work must not hold up all other work
            again = BACKOFF[min(deaths, len(BACKOFF)) - 1] if deaths > 1 else 0.0
            if not self._stopping.is_set():
                tail = self._tail(written)
                self._mourn(Death(name=self.program.name, code=code, again=again, tail=tail))
                self._stopping.wait(again)

    def _run(self) -> int:
        """One life; returns its exit code, with nothing left of its group."""
        with self.program.log.open("ab") as log, self._lock:
            if self._stopping.is_set():
                return 0
            self._child = subprocess.Popen(
                self.program.command,
                env=dict(self.program.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=self._reaper.enlist,
            )
            self._pid_file.write_text(str(self._child.pid))
        code = self._child.wait()
        self._signal(signal.SIGKILL)  # an orphaned worker would keep the port
        with self._lock:
            self._reaper.forget(self._child.pid)
            self._child = None
            self._pid_file.unlink(missing_ok=True)
        return code

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            if self._child:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._child.pid, number)

    def _tail(self, start: int) -> str:
        with self.program.log.open("rb") as log:
            log.seek(start)
            lines = log.read().decode("utf-8", "replace").splitlines()
        return "\n".join(lines[-TAIL:])
