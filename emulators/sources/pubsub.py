"""Google's Pub/Sub emulator as the bridge's source: a few streams, and looks on demand."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import grpc
from google.pubsub_v1 import types

from emulators import topology
from emulators.sources import LEASE, Delivery
from emulators.sources.calls import Calls, translated
from shared import errors, log

STREAMS = 4  # per subscription: each looks every 50 ms only, so they are spread over these
WAKE = 0.05  # seconds between two looks of one stream
PAUSE = 0.5  # seconds before a broken stream is opened anew
GOODBYE = 1.0  # seconds the streams have to end


class PubSub:
    """Implements `emulators.sources.Source`.

    The emulator ignores filters, and takes whole seconds for a backoff: both are done here.
    """

    def __init__(self, host: str, project: str) -> None:
        self._calls = Calls(host, project)
        self._pipes: dict[str, Pipe] = {}

    async def subscribe(self, subscription: topology.Subscription, topic: str) -> None:
        """See `Source.subscribe`."""
        await self._calls.subscribe(subscription, topic)
        if subscription.name not in self._pipes:
            self._pipes[subscription.name] = Pipe(self._calls, subscription, topic)

    async def pull(self, subscription: str, limit: int) -> Sequence[Delivery]:
        """See `Source.pull`."""
        return await self._pipes[subscription].take(limit)

    async def ack(self, subscription: str, ack_id: str) -> None:
        """See `Source.ack`."""
        await self._calls.ack(subscription, ack_id)

    async def nack(self, subscription: str, ack_id: str, delay: float) -> None:
        """See `Source.nack`."""
        await asyncio.sleep(delay)
        await self._calls.lease(subscription, [ack_id], 0)
        self.kick(subscription)

    async def extend(self, subscription: str, ack_ids: Sequence[str]) -> None:
        """See `Source.extend`; those that wait here for the lane's room are extended too."""
        if every := [*ack_ids, *self._pipes[subscription].waiting()]:
            await self._calls.lease(subscription, every, LEASE)

    async def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> None:
        """See `Source.publish`."""
        await self._calls.publish(topic, data, attributes)

    def kick(self, subscription: str) -> None:
        """See `Source.kick`."""
        self._pipes[subscription].kick()

    async def close(self) -> None:
        """See `Source.close`."""
        await asyncio.gather(*(pipe.close() for pipe in self._pipes.values()))
        await self._calls.close()


class Pipe:
    """What one subscription yields, from its streams and from looks."""

    def __init__(self, calls: Calls, subscription: topology.Subscription, topic: str) -> None:
        self._calls, self._subscription, self._topic = calls, subscription, topic
        self._arrived: deque[Delivery] = deque()
        self._news = asyncio.Event()
        self._kicked = asyncio.Event()
        self._open: set[Any] = set()
        self._closing = False
        self._look = asyncio.create_task(self._looking())
        self._streams = [asyncio.create_task(self._streaming(each)) for each in range(STREAMS)]

    async def take(self, limit: int) -> Sequence[Delivery]:
        """Waits for messages; at most `limit`."""
        while not self._arrived:
            self._news.clear()
            await self._news.wait()
        return [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]

    def waiting(self) -> list[str]:
        """The ack ids of what nobody has taken yet."""
        return [delivery.ack_id for delivery in self._arrived]

    def kick(self) -> None:
        """Looks at once, or once more if it is looking already."""
        self._kicked.set()

    async def close(self) -> None:
        """Ends the streams in order: one that is cut off swallows a message in the emulator."""
        self._closing = True
        for call in list(self._open):
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await call.done_writing()
        await asyncio.wait(self._streams, timeout=GOODBYE)
        for task in (self._look, *self._streams):
            task.cancel()
        for ack_id in self.waiting():
            with suppress(errors.Unavailable):
                await self._calls.lease(self._subscription.name, [ack_id], 0)

    async def _looking(self) -> None:
        while True:
            await self._kicked.wait()
            self._kicked.clear()
            with suppress(errors.Unavailable):  # the streams say so
                await self._arrive(await self._calls.look(self._subscription.name))

    async def _streaming(self, number: int) -> None:
        await asyncio.sleep(number * WAKE / STREAMS)
        while not self._closing:
            try:
                with translated():
                    await self._streamed()
            except errors.Unavailable as error:
                if not number:
                    name = self._subscription.name
                    log.event("no stream", "WARNING", subscription=name, detail=error.detail)
                await asyncio.sleep(PAUSE)
                with suppress(errors.Unavailable):  # an emulator started anew has forgotten us
                    await self._calls.subscribe(self._subscription, self._topic)

    async def _streamed(self) -> None:
        """One stream, until it ends."""
        call = await self._calls.stream(self._subscription.name)
        self._open.add(call)
        try:
            async for answer in call:
                await self._arrive(types.StreamingPullResponse.pb(answer).received_messages)
        finally:
            self._open.discard(call)

    async def _arrive(self, found: Sequence[Any]) -> None:
        for received in found:
            message = received.message
            if self._subscription.agent not in (None, message.attributes.get("agent")):
                await self._calls.ack(self._subscription.name, received.ack_id)
                continue
            self._arrived.append(
                Delivery(
                    ack_id=received.ack_id,
                    message_id=message.message_id,
                    data=message.data,
                    attributes=dict(message.attributes),
                    published_at=message.publish_time.ToMicroseconds(),
                    attempt=received.delivery_attempt or 1,
                )
            )
        self._news.set()
