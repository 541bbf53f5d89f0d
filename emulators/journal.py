"""The journal: the logs of all processes as they grow, one readable line per hop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SILENT = ("firestore", "pubsub")  # Java's own talk stays in its files
DIM, YELLOW, RED, GREEN, PLAIN = "\033[2m", "\033[33m", "\033[31m", "\033[32m", "\033[0m"
COLOURS = {"WARNING": YELLOW, "ERROR": RED, "succeeded": GREEN, "failed": RED, "expired": YELLOW}

Entry = Mapping[str, Any]  # a line of a log: JSON as it stands, or `message` alone


class Journal:
    """Reads what the logs in a folder got since the last look."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}

    def news(self) -> list[Entry]:
        """The new lines of all logs, by time."""
        entries = [
            entry
            for log in sorted(self._folder.glob("*.log"))
            if log.stem not in SILENT
            for entry in self._grown(log)
        ]
        return sorted(entries, key=lambda entry: str(entry.get("time", "")))

    def _grown(self, log: Path) -> list[Entry]:
        start, size = self._read.get(log, 0), log.stat().st_size
        if size <= start:
            self._read[log] = size
            return []
        with log.open("rb") as file:
            file.seek(start)
            whole = file.read().rpartition(b"\n")[0]
        self._read[log] = start + len(whole) + 1 if whole else start
        lines = whole.decode("utf-8", "replace").splitlines()
        return [_entry(line, log.stem) for line in lines if line.strip()]


def _entry(line: str, process: str) -> Entry:
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if isinstance(entry, dict):
        return {"function": process, **entry}
    return {"function": process, "message": line.rstrip()}


def readable(entry: Entry, colour: bool = False) -> str:
    """One line for a person: when, who, which task, what, which attempt, how much, and why."""
    when = str(entry.get("time", ""))[11:23].ljust(12)
    task = str(entry.get("taskId", ""))[:8].ljust(8)
    head = f"{when}  {entry['function']:<12} {task}  "
    words = [str(entry.get("message", ""))]
    if entry.get("attempt"):
        words.append(f"attempt {entry['attempt']}")
    if "costCents" in entry:
        words.append(f"{entry['costCents']} ¢")
    why = ("subscription", "code", "detail", "exception")
    words += [str(entry[name]) for name in why if name in entry]
    if "againInSeconds" in entry:
        words.append(f"again in {entry['againInSeconds']} s")
    text = "  ".join([words[0].ljust(10), *words[1:]]) if words[1:] else words[0]
    if not colour:
        return head + text
    tint = COLOURS.get(str(entry.get("severity", ""))) or COLOURS.get(words[0], "")
    return f"{DIM}{head}{PLAIN}{tint}{text}{PLAIN}"
