"""The embedded queue as the bridge's source: cheap looks at one SQLite file."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from emulators import topology
from emulators.sources import LEASE, Delivery
from shared import errors, log
from shared.storage.sqlite.bus import Queue

POLL = 0.005  # seconds between two looks at whether anybody has written
LOOK = 0.5  # seconds between two looks at what may have come due by itself


class Embedded:
    """Implements `emulators.sources.Source`; its calls to SQLite take less than a millisecond."""

    def __init__(self, path: str) -> None:
        self._queue = Queue(path)
        self._stirred = asyncio.Event()
        self._acks: list[str] = []
        self._watch = asyncio.create_task(self._watched())

    async def subscribe(self, subscription: topology.Subscription, topic: str) -> None:
        """See `Source.subscribe`."""
        wanted = {"agent": subscription.agent} if subscription.agent else {}
        self._queue.subscribe(subscription.name, topic, wanted)

    async def pull(self, subscription: str, limit: int) -> Sequence[Delivery]:
        """See `Source.pull`."""
        while not (found := self._queue.pull(subscription, limit, LEASE)):
            await self._stirred.wait()
        return found

    async def ack(self, subscription: str, ack_id: str) -> None:
        """See `Source.ack`; all acknowledgements of one turn of the loop are one commit."""
        if not self._acks:
            asyncio.get_running_loop().call_soon(self._flush)
        self._acks.append(ack_id)

    async def nack(self, subscription: str, ack_id: str, delay: float) -> None:
        """See `Source.nack`."""
        self._queue.nack(ack_id, delay)
        asyncio.get_running_loop().call_later(delay, self._stir)

    async def extend(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """See `Source.extend`."""
        for ack_id in ack_ids:
            self._queue.nack(ack_id, LEASE)

    async def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> None:
        """See `Source.publish`."""
        self._queue.publish(topic, data, attributes)
        self._stir()

    def kick(self, subscription: str) -> None:
        """See `Source.kick`."""
        self._stir()

    async def close(self) -> None:
        """See `Source.close`."""
        self._watch.cancel()
        self._flush()

    def _stir(self) -> None:
        """Lets every waiting pull look once."""
        stirred, self._stirred = self._stirred, asyncio.Event()
        stirred.set()

    async def _watched(self) -> None:
        """Stirs whenever another connection has written, and now and then for what comes due."""
        seen, quiet = self._queue.version(), 0.0
        while True:
            await asyncio.sleep(POLL)
            version, quiet = self._queue.version(), quiet + POLL
            if version != seen or quiet >= LOOK:
                seen, quiet = version, 0.0
                self._stir()

    def _flush(self) -> None:
        acks, self._acks = self._acks, []
        try:
            if acks:
                self._queue.ack(acks)
        except errors.Unavailable as error:  # they come again, at the end of their lease
            log.event("acknowledgements lost", "WARNING", count=len(acks), detail=error.detail)
