"""The reaper: outlives its parent by a moment, and kills the process groups that it left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading


class Reaper:
    """A small process beside ours; even after a `kill -9` of ours nothing stays."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def enlist(self) -> None:
        """Has the process group of its caller killed when we are gone.

        A child calls it between its fork and its exec: were its parent to call it afterwards, the
        parent could be killed before. It takes no lock, for the child has none of our threads.
        """
        assert self._process.stdin
        os.write(self._process.stdin.fileno(), b"+%d\n" % os.getpid())

    def adopt(self, group: int) -> None:
        """The same by its parent, where a fork is not safe: gRPC's threads survive it badly."""
        self._tell(f"+{group}")

    def forget(self, group: int) -> None:
        """The group has ended."""
        self._tell(f"-{group}")

    def close(self) -> None:
        """Kills what is left, and ends."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def __enter__(self) -> Reaper:
        return self

    def __exit__(self, *ended: object) -> None:
        self.close()

    def _tell(self, line: str) -> None:
        assert self._process.stdin
        with self._lock, contextlib.suppress(BrokenPipeError):
            os.write(self._process.stdin.fileno(), f"{line}\n".encode())


def main() -> None:
    """Reads `+GROUP` and `-GROUP` until the parent is gone."""
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
