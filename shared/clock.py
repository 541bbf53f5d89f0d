"""Time: microseconds since the epoch, and how they are shown."""

from __future__ import annotations

from datetime import UTC, datetime

SECOND = 1_000_000  # microseconds


def timestamp(micros: int | None) -> str | None:
    """Microseconds since the epoch as RFC 3339, in UTC."""
    if micros is None:
        return None
    return (
        datetime.fromtimestamp(micros / SECOND, UTC).isoformat(timespec="microseconds")[:-6] + "Z"
    )
