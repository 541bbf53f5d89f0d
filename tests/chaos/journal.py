"""The journal: what agents really did, line by line, whatever became of it in the store."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.tasks.record import Task

VARIABLE = "CHAOS_JOURNAL"


@dataclass(frozen=True)
class Entry:
    """Something that was done."""

    what: str
    task: str
    attempt: int
    at: int  # microseconds since the epoch


def write(what: str, task: str, attempt: int) -> None:
    """One line, whole, even if the process is killed the moment after."""
    line = f"{what} {task} {attempt} {time.time_ns() // 1000}\n"
    descriptor = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def read(path: Path) -> Iterator[Entry]:
    """All lines."""
    for line in path.read_text().splitlines() if path.exists() else ():
        what, task, attempt, at = line.split()
        yield Entry(what, task, int(attempt), int(at))


def doubtful(path: Path, tasks: Mapping[str, Task]) -> list[str]:
    """What was done and must not have been: an attempt run twice, unpaid, or a step done again."""
    wrong, begun = [], Counter[tuple[str, int]]()
    for entry in read(path):
        task = tasks.get(entry.task)
        if task is None or str(entry.attempt) not in task.runs:
            wrong.append(f"tasks/{entry.task}: attempt {entry.attempt} ran, and was never begun")
        if entry.what == "began":
            begun[entry.task, entry.attempt] += 1
        kept = (task.steps or {}).get(entry.what) if task else None
        if kept and kept["attempt"] < entry.attempt:
            wrong.append(f"tasks/{entry.task}: {entry.what} was done, and done again")
    return wrong + [
        f"tasks/{task}: attempt {attempt} ran {times} times"
        for (task, attempt), times in begun.items()
        if times > 1
    ]
