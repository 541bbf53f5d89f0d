"""Dead letters: what could not be processed, kept for the operator."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from shared import errors, limits, log, runtime
from shared.storage.store import Put

COLLECTION = "dead_letters"  # the collection of what could not be processed
MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


def keep(message_id: str, code: str, detail: str, kept: Mapping[str, Any]) -> None:
    """Keeps a message that cannot be processed for the operator; once, if it has an id."""
    current = runtime.current()
    log.event("dead letter", "WARNING", code=code, detail=detail)
    name = message_id if MESSAGE_ID.fullmatch(message_id) else current.new_id()
    expire_at = datetime.now(UTC) + timedelta(days=current.config.retention_days)
    document = {
        "recordedAt": current.now(),
        "code": code,
        "detail": detail[: limits.DEAD_LETTER_DETAIL],
    }
    document |= {name: _fitting(value) for name, value in kept.items()}
    document["expireAt"] = expire_at
    with contextlib.suppress(errors.Conflict):
        current.store.commit([Put(f"{COLLECTION}/{name}", document)])


def _fitting(value: Any) -> Any:
    """A text cut to what a document has room for: a replaced byte, a number written out, grow."""
    if not isinstance(value, str):
        return value
    return value.encode()[: limits.DEAD_LETTER_TEXT].decode("utf-8", "ignore")
