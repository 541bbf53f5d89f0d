"""The log: one JSON object a line, as Cloud Logging reads it."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

SEVERITIES = ("DEBUG", "INFO", "WARNING", "ERROR")
LONGEST_STACK = 8000  # characters

_bound: ContextVar[dict[str, Any]] = ContextVar("bound", default={})  # noqa: B039 - never changed
_lock = threading.Lock()


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Within it, every line carries these fields too."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def event(message: str, severity: str = "INFO", **fields: Any) -> None:
    """Writes one line; a `traceId` of W3C's form links it to Cloud Trace."""
    entry = {**_bound.get(), **fields}
    lowest, project = entry.pop("level", "INFO"), entry.pop("project", "")
    if SEVERITIES.index(severity) < SEVERITIES.index(lowest):
        return
    trace_id = str(entry.get("traceId", ""))
    if project and len(trace_id) == 32:
        entry["logging.googleapis.com/trace"] = f"projects/{project}/traces/{trace_id}"
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = json.dumps(
        {"severity": severity, "time": now, "message": message, **entry},
        ensure_ascii=False,
        default=str,
    )
    line = line.encode("utf-8", "replace").decode()  # an agent's error may say anything
    with _lock:  # threads share the stream; a line stays whole
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def stack(error: Exception) -> str:
    """Where an error came from, as Python tells it; of a long one the end."""
    import traceback  # takes a moment, and is seldom needed

    return "".join(traceback.format_exception(error))[-LONGEST_STACK:]
