"""The Pub/Sub bus: the generated publisher, which sends at once instead of gathering a batch."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from google.api_core import exceptions, retry
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.types import PublishRequest, PubsubMessage

from shared import errors

CALL = 10.0  # seconds one try may take
PATIENCE = 20.0  # seconds of tries, then `errors.Unavailable`

RETRY = retry.Retry(  # a message published twice is delivered twice, and the fence holds
    predicate=retry.if_exception_type(
        exceptions.ServiceUnavailable, exceptions.Aborted, exceptions.ResourceExhausted
    ),
    initial=0.05,
    maximum=2.0,
    multiplier=2.0,
    timeout=PATIENCE,
)


class PubSubBus:
    """Implements `shared.bus.Bus`."""

    def __init__(self, emulator_host: str = "") -> None:
        if emulator_host:
            channel = grpc.insecure_channel(emulator_host)
            self._client = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        else:
            self._client = PublisherClient()

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """See `Bus.publish`."""
        message = PubsubMessage(data=data, attributes=dict(attributes))
        try:
            answer = self._client.publish(
                request=PublishRequest(topic=topic, messages=[message]), retry=RETRY, timeout=CALL
            )
        except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
            raise errors.Unavailable(f"Pub/Sub: {error.message}") from error
        return str(answer.message_ids[0])
