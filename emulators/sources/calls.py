"""The calls that the bridge makes to Google's Pub/Sub emulator, by subscription's short name."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from emulators import topology
from emulators.sources import LEASE
from shared import errors

CALL = 10.0  # seconds a call may take
MOST = 100  # messages a look takes
AHEAD = 1000  # messages a stream hands out before they are acknowledged
RECONNECT = [  # milliseconds: an emulator that is starting is noticed at once
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
ATTEMPTS = 100  # the emulator counts deliveries only beside a dead-letter policy; ours comes first


class Calls:
    """Every method but `stream` raises `errors.Unavailable`."""

    def __init__(self, host: str, project: str) -> None:
        self._channel = channel = grpc.aio.insecure_channel(host, options=RECONNECT)
        self._project = project
        # Raw calls: the clients on top add half a millisecond to each. Their types are not exact.
        self._subscriber: Any = SubscriberGrpcAsyncIOTransport(channel=channel)
        self._publisher: Any = PublisherGrpcAsyncIOTransport(channel=channel)

    async def subscribe(self, subscription: topology.Subscription, topic: str) -> None:
        """Makes the topic (a full path) and the subscription, unless they exist."""
        dead = f"projects/{self._project}/topics/dead"
        for name in (topic, dead):
            await _made(self._publisher.create_topic(types.Topic(name=name), timeout=CALL))
        policy = types.DeadLetterPolicy(dead_letter_topic=dead, max_delivery_attempts=ATTEMPTS)
        terms = types.Subscription(
            name=self._path(subscription.name),
            topic=topic,
            filter=subscription.filter,
            ack_deadline_seconds=int(LEASE),
            dead_letter_policy=policy,
        )
        await _made(self._subscriber.create_subscription(terms, timeout=CALL))

    async def look(self, subscription: str) -> Sequence[Any]:
        """What it holds now."""
        request = types.PullRequest(
            subscription=self._path(subscription), max_messages=MOST, return_immediately=True
        )
        with translated():
            answer = await self._subscriber.pull(request, timeout=CALL)
        return list(types.PullResponse.pb(answer).received_messages)

    async def stream(self, subscription: str) -> Any:
        """Opens a stream of what it gets; iterate over it, and end it with `done_writing`."""
        call = self._subscriber.streaming_pull()
        await call.write(
            types.StreamingPullRequest(
                subscription=self._path(subscription),
                stream_ack_deadline_seconds=int(LEASE),
                max_outstanding_messages=AHEAD,
            )
        )
        return call

    async def ack(self, subscription: str, ack_id: str) -> None:
        """The message is done."""
        path = self._path(subscription)
        request = types.AcknowledgeRequest(subscription=path, ack_ids=[ack_id])
        with translated():
            await self._subscriber.acknowledge(request, timeout=CALL)

    async def lease(self, subscription: str, ack_ids: Sequence[str], seconds: float) -> None:
        """These messages stay ours for so long from now on; 0 gives them back."""
        request = types.ModifyAckDeadlineRequest(
            subscription=self._path(subscription),
            ack_ids=ack_ids,
            ack_deadline_seconds=int(seconds),
        )
        with translated():
            await self._subscriber.modify_ack_deadline(request, timeout=CALL)

    async def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> None:
        """Publishes to a full topic path."""
        message = types.PubsubMessage(data=data, attributes=dict(attributes))
        request = types.PublishRequest(topic=topic, messages=[message])
        with translated():
            await self._publisher.publish(request, timeout=CALL)

    async def close(self) -> None:
        """Hangs up."""
        await self._channel.close()

    def _path(self, subscription: str) -> str:
        return f"projects/{self._project}/subscriptions/{subscription}"


async def _made(call: Awaitable[Any]) -> None:
    with translated():
        try:
            await call
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.ALREADY_EXISTS:
                raise


@contextmanager
def translated() -> Iterator[None]:
    """Turns gRPC's errors into ours."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise errors.Unavailable(f"Pub/Sub: {error.details()}") from error
