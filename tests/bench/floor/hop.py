"""What a plain function needs: to read a push, to publish, and to say that it is done."""

from __future__ import annotations

import base64
import json
import os
import sys
from datetime import UTC, datetime
from functools import cache
from typing import Any

import flask
import grpc
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.types import PublishRequest, PubsubMessage


def pushed(request: flask.Request) -> Any:
    """The JSON that a push carries."""
    return json.loads(base64.b64decode(request.get_json()["message"]["data"]))


def publish(topic: str, message: Any) -> None:
    """Publishes to the agent `light`'s or the results' subscription."""
    path = f"projects/{os.environ['GCP_PROJECT']}/topics/{topic}"
    data = json.dumps(message).encode()
    sent = PubsubMessage(data=data, attributes={"agent": "light"})
    _client().publish(request=PublishRequest(topic=path, messages=[sent]))


def log(task: Any) -> None:
    """The line that ends a task, as the real functions write theirs."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = {"time": now, "message": "succeeded", "taskId": task["taskId"]}
    sys.stdout.write(json.dumps(line) + "\n")  # in one piece: threads share the stream
    sys.stdout.flush()


@cache
def _client() -> PublisherClient:
    channel = grpc.insecure_channel(os.environ["PUBSUB_EMULATOR_HOST"])
    return PublisherClient(transport=PublisherGrpcTransport(channel=channel))
