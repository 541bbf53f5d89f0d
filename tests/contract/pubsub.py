"""Google's Pub/Sub emulator with the pull side that the embedded queue has too."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress

import grpc
from google.api_core import exceptions
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import PullRequest, Subscription

from shared.storage.google.pubsub import PubSubBus
from shared.storage.sqlite.bus import Delivery


class PubSub(PubSubBus):
    """`PubSubBus`, and pulling; each instance has a project of its own."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        channel = grpc.insecure_channel(host)
        self._topics = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        self._subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        self._project = f"contract-{uuid.uuid4().hex[:12]}"

    def subscribe(
        self, name: str, topic: str, attribute_filter: Mapping[str, str] | None = None
    ) -> None:
        """Makes topic and subscription; deliveries are counted, as beside a dead-letter policy."""
        dead = self._path("topics", "dead")
        for each in (self._moved(topic), dead):
            with suppress(exceptions.AlreadyExists):
                self._topics.create_topic(name=each)
        request = Subscription(
            name=self._path("subscriptions", name),
            topic=self._moved(topic),
            dead_letter_policy={"dead_letter_topic": dead, "max_delivery_attempts": 100},
        )
        with suppress(exceptions.AlreadyExists):
            self._subscriber.create_subscription(request=request)

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """As `PubSubBus`, in this instance's project."""
        return super().publish(self._moved(topic), data, attributes)

    def pull(self, subscription: str, limit: int, ack_deadline_seconds: float) -> list[Delivery]:
        """What is there now."""
        path = self._path("subscriptions", subscription)
        request = PullRequest(subscription=path, max_messages=limit, return_immediately=True)
        received = self._subscriber.pull(request=request).received_messages
        deliveries = [
            Delivery(
                ack_id=f"{path} {each.ack_id}",
                message_id=each.message.message_id,
                data=each.message.data,
                attributes=dict(each.message.attributes),
                published_at=int(each.message.publish_time.timestamp() * 1e6),  # type: ignore[attr-defined]
                attempt=each.delivery_attempt,
            )
            for each in received
        ]
        for each in deliveries:
            self.nack(each.ack_id, ack_deadline_seconds)
        return deliveries

    def ack(self, ack_ids: Sequence[str]) -> None:
        """Forgets the messages."""
        for each in ack_ids:
            path, ack_id = each.split(" ")
            self._subscriber.acknowledge(subscription=path, ack_ids=[ack_id])

    def nack(self, ack_id: str, delay_seconds: float) -> None:
        """Delivers the message again after a delay."""
        path, id_ = ack_id.split(" ")
        self._subscriber.modify_ack_deadline(
            subscription=path, ack_ids=[id_], ack_deadline_seconds=int(delay_seconds)
        )

    def _path(self, kind: str, name: str) -> str:
        return f"projects/{self._project}/{kind}/{name}"

    def _moved(self, topic: str) -> str:
        return self._path("topics", topic.rpartition("/")[2])
