"""The Pub/Sub bus: one call a message, at once, instead of gathering a batch."""

from __future__ import annotations

from collections.abc import Mapping

import grpc

from shared import errors
from shared.storage.google import channel as channels

with channels.bare("google.pubsub_v1"):
    from google.pubsub_v1.types import pubsub

Request, Response = pubsub.PublishRequest.pb(), pubsub.PublishResponse.pb()


class PubSubBus:
    """Implements `shared.storage.bus.Bus`."""

    def __init__(self, emulator_host: str = "") -> None:
        channel = channels.channel("pubsub.googleapis.com", emulator_host)
        self._publish = channel.unary_unary(
            "/google.pubsub.v1.Publisher/Publish",
            request_serializer=Request.SerializeToString,
            response_deserializer=Response.FromString,
        )

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """See `Bus.publish`."""
        request = Request(topic=topic)
        message = request.messages.add(data=data)
        message.attributes.update(attributes)
        try:
            answer = self._publish(
                request, timeout=channels.CALL, metadata=(channels.routing(topic=topic),)
            )
        except grpc.RpcError as error:
            raise errors.Unavailable(f"Pub/Sub: {channels.reason(error)}") from error
        return str(answer.message_ids[0])
