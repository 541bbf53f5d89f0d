"""The bus port: what carries a message from hop to hop, at least once and in no order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Bus(Protocol):
    """Publishes; delivery is a push to the subscriber's endpoint, made by Pub/Sub or the bridge."""

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """Publishes to a full topic path (`projects/P/topics/T`); returns the message's id.

        Once it returns, the message is durable. Raises `errors.Unavailable`, and then the message
        may have been published or not.
        """


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """A message as it was pushed."""

    data: Any  # the JSON that it carries
    attributes: Mapping[str, str]
    id: str
    published_at: int | None  # microseconds since the epoch
    attempt: int | None  # deliveries so far, where the subscription has a dead-letter policy
    subscription: str
