"""The bridge's port to a bus: what it pulls from, acknowledges to and publishes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from emulators import topology
from shared.storage.sqlite.bus import Delivery as Delivery

LEASE = 15.0  # seconds a pulled message stays ours; extended meanwhile, so a crash costs no more


class Source(Protocol):
    """Subscriptions to pull from. Every method raises `errors.Unavailable` where it cannot."""

    async def subscribe(self, subscription: topology.Subscription, topic: str) -> None:
        """Makes the topic (a full path) and the subscription, unless they exist."""

    async def pull(self, subscription: str, limit: int) -> Sequence[Delivery]:
        """Waits for messages and leases them for `LEASE`; at most `limit`, at least one."""

    async def ack(self, subscription: str, ack_id: str) -> None:
        """The message is done."""

    async def nack(self, subscription: str, ack_id: str, delay: float) -> None:
        """The message is to come again after a delay in seconds."""

    async def extend(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """Leases these messages anew, for `LEASE` from now on."""

    async def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> None:
        """Publishes to a full topic path."""

    def kick(self, subscription: str) -> None:
        """Looks at once: something was probably published just now."""

    async def close(self) -> None:
        """Lets go of everything."""
