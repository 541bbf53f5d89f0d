"""A lane: one subscription's messages on their way to their endpoint, by its own terms."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

from emulators import faults, push, topology
from emulators.sources import LEASE, Delivery, Source
from shared import errors, log

PUSHES = 100  # on their way at once
BACKOFF = 0.1  # of a subscription's backoff: at home a retry comes after 1 s, not 10
PAUSE = 0.5  # seconds to let a source recover
NONE = faults.Faults()
NEXT = {"results": "callbacks", "dead_letter": "tasks", "sweep": "tasks"}  # what a push leads to


@dataclass(frozen=True, kw_only=True)
class Hop:
    """A subscription, and where its messages go."""

    subscription: topology.Subscription
    topic: str  # full path
    url: str  # of the push endpoint
    audience: str  # of its tokens


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a bridge delivers."""

    project: str
    signer: push.Signer
    backoff: float = BACKOFF
    faults: faults.Faults = NONE


class Lane:
    """One subscription's messages on their way."""

    def __init__(
        self,
        hop: Hop,
        source: Source,
        terms: Terms,
        client: aiohttp.ClientSession,
        kick: Callable[[str], None],
    ) -> None:
        """`kick` is told the topic that a finished push has probably published to."""
        self._hop, self._source, self._terms = hop, source, terms
        self._client, self._kick = client, kick
        self.name, self.topic = hop.subscription.name, hop.topic
        self.ticks = hop.subscription.topic == "ticks"
        self._held: set[str] = set()  # ack ids that are leased to us
        self._pushing = 0
        self._freed = asyncio.Event()
        self.dice = faults.Dice(terms.faults, self.name)

    @property
    def busy(self) -> bool:
        """A message is on its way now."""
        return self._pushing > 0

    async def run(self) -> None:
        """Pulls and pushes until it is cancelled."""
        async with asyncio.TaskGroup() as pushes:
            while True:
                for delivery in await self._pulled():
                    self._held.add(delivery.ack_id)
                    self._pushing += 1
                    pushes.create_task(self._delivered(delivery))

    async def keep(self) -> None:
        """Keeps the leases of slow pushes alive."""
        while True:
            await asyncio.sleep(LEASE / 3)
            with suppress(errors.Unavailable):
                await self._source.extend(self.name, list(self._held))

    async def release(self) -> None:
        """Lets what is on its way come again at once."""
        with suppress(errors.Unavailable):
            for ack_id in list(self._held):
                await self._source.nack(self.name, ack_id, 0)

    async def _pulled(self) -> Sequence[Delivery]:
        while self._pushing >= PUSHES:
            self._freed.clear()
            await self._freed.wait()
        try:
            return await self._source.pull(self.name, PUSHES - self._pushing)
        except errors.Unavailable as error:
            log.event("no messages", "WARNING", subscription=self.name, detail=error.detail)
            await asyncio.sleep(PAUSE)
            return ()

    async def _delivered(self, delivery: Delivery) -> None:
        try:
            try:
                answer = await self._pushed(delivery)
            finally:
                self._pushing -= 1
                self._freed.set()
            if answer.accepted:
                self._kick("results" if self._hop.subscription.agent else self._next)
                await self._source.ack(self.name, delivery.ack_id)
            else:
                await self._refused(delivery, answer)
        except errors.Unavailable as error:  # it comes again, at the end of its lease
            log.event("not settled", "WARNING", subscription=self.name, detail=error.detail)
        self._held.discard(delivery.ack_id)

    @property
    def _next(self) -> str:
        return NEXT.get(self._hop.subscription.function, "")

    async def _pushed(self, delivery: Delivery) -> push.Answer:
        await self.dice.hold()
        trace = delivery.attributes.get("traceId", "")
        if self.dice.strikes("drop", trace):
            return push.Answer(status=None, detail="fault: dropped")
        body = push.envelope(delivery, self._hop.subscription, self._terms.project)
        copies = 2 if self.dice.strikes("duplicate", trace) else 1
        answer, *_ = await asyncio.gather(*(self._post(body) for _ in range(copies)))
        if answer.accepted and self.dice.strikes("drop_ack", trace):
            return push.Answer(status=None, detail="fault: acknowledgement dropped")
        return answer

    async def _post(self, body: bytes) -> push.Answer:
        hop = self._hop
        authorization = self._terms.signer.authorization(hop.audience)
        deadline = hop.subscription.ack_deadline_seconds
        return await push.post(self._client, hop.url, body, authorization, deadline)

    async def _refused(self, delivery: Delivery, answer: push.Answer) -> None:
        """Comes again after the subscription's backoff, or is dead after its last attempt."""
        terms, subscription = self._terms, self._hop.subscription
        line = {
            "subscription": self.name,
            "messageId": delivery.message_id,
            "delivery": delivery.attempt,
            "status": answer.status,
            "detail": answer.detail,
            **{key: delivery.attributes[key] for key in ("taskId",) if key in delivery.attributes},
        }
        if delivery.attempt >= (subscription.max_delivery_attempts or float("inf")):
            await self._buried(delivery)
            log.event("dead", "WARNING", **line)
            return
        delay = terms.backoff * backoff(subscription, delivery.attempt)
        log.event("not acknowledged", "WARNING", **line, againInSeconds=round(delay, 3))
        await self._source.nack(self.name, delivery.ack_id, delay)

    async def _buried(self, delivery: Delivery) -> None:
        """To the topic `dead`, marked as Pub/Sub marks it; only then acknowledged."""
        project = self._terms.project
        published = datetime.fromtimestamp(delivery.published_at / 1_000_000, UTC)
        origin = {
            "CloudPubSubDeadLetterSourceDeliveryCount": str(delivery.attempt),
            "CloudPubSubDeadLetterSourceSubscription": self.name,
            "CloudPubSubDeadLetterSourceSubscriptionProject": project,
            "CloudPubSubDeadLetterSourceTopicPublishTime": published.isoformat(),
        }
        attributes = {**delivery.attributes, **origin}
        await self._source.publish(f"projects/{project}/topics/dead", delivery.data, attributes)
        await self._source.ack(self.name, delivery.ack_id)


def backoff(subscription: topology.Subscription, attempt: int) -> float:
    """Seconds until the next delivery after the `attempt`-th: exponential between the bounds."""
    doubled = subscription.minimum_backoff_seconds * 2.0 ** min(attempt - 1, 30)
    return min(doubled, subscription.maximum_backoff_seconds)
