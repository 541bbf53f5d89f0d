"""What a task costs on its way, counted: on Google's emulators call by call on the wire."""

from __future__ import annotations

import base64
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import functions_framework
import grpc
import pytest

from emulators import topology
from shared import config, services
from shared.bus import Bus
from shared.store import Write
from tests.flow.cloud import Cloud

HAPPY = {"Commit": 3, "Publish": 2}
Message = tuple[str, bytes, Mapping[str, str]]


class Tape:
    """A bus that keeps what is published, for the test to deliver."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.messages: list[Message] = []

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """See `Bus.publish`."""
        self.messages.append((topic, data, attributes))
        return self._bus.publish(topic, data, attributes)


class EmbeddedCalls:
    """A store and a bus that count each call to the embedded database."""

    def __init__(self, inner: Any, counts: Counter[str]) -> None:
        self._inner, self._counts = inner, counts

    def commit(self, writes: Sequence[Write]) -> int:
        """A commit that writes more than one document counts as more."""
        self._counts["Commit"] += len(writes)
        version: int = self._inner.commit(writes)
        return version

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """See `Bus.publish`."""
        self._counts["Publish"] += 1
        message_id: str = self._inner.publish(topic, data, attributes)
        return message_id

    def __getattr__(self, name: str) -> Any:
        """Any other call is one that the happy path does not make."""
        self._counts[name] += 1
        return getattr(self._inner, name)


class WireCalls(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):  # type: ignore[misc]
    """Counts gRPC calls by their method."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts

    def intercept_unary_unary(self, proceed: Any, details: Any, request: Any) -> Any:
        """One call, one answer; a commit of more than one document counts as more."""
        method = details.method.rpartition("/")[2]
        self._counts[method] += len(request.writes) if method == "Commit" else 1
        return proceed(details, request)

    def intercept_unary_stream(self, proceed: Any, details: Any, request: Any) -> Any:
        """One call, many answers: reads and queries."""
        self._counts[details.method.rpartition("/")[2]] += 1
        return proceed(details, request)


@pytest.fixture(params=["embedded", pytest.param("google", marks=pytest.mark.google)])
def counted(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[services.Services, Counter[str]]:
    """A world whose every call to the database and the bus is counted."""
    counts: Counter[str] = Counter()
    if request.param == "embedded":
        world = services.Services(config.load({"EMBEDDED_PATH": str(tmp_path / "zantara.db")}))
        store, bus = EmbeddedCalls(world.store, counts), EmbeddedCalls(world.bus, counts)
        return _taped(world.config, lambda _: store, bus), counts
    cloud: Cloud = request.getfixturevalue("google_cloud")
    ports, channel = cloud.cluster.layout.ports, grpc.insecure_channel
    settings = config.load(
        {
            "GCP_PROJECT": f"count-{uuid.uuid4().hex[:10]}",
            "FIRESTORE_EMULATOR_HOST": f"127.0.0.1:{ports.firestore}",
            "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{ports.pubsub}",
        }
    )
    _make_topics(settings, channel)
    calls = WireCalls(counts)
    monkeypatch.setattr(
        grpc,
        "insecure_channel",
        lambda *to, **how: grpc.intercept_channel(channel(*to, **how), calls),
    )
    return _taped(settings, None, services.Services(settings).bus), counts


def test_the_happy_path_takes_three_writes_no_read_and_two_messages(
    counted: tuple[services.Services, Counter[str]],
) -> None:
    world, counts = counted
    tape: Any = world.bus
    functions = {name: _client(name) for name in ("dispatch", "agent_light", "results")}
    with services.using(world):
        order = {"agent": "light", "payload": 1, "ttlSeconds": 60, "budgetCents": 10}
        assert functions["dispatch"].post("/dispatch", json=order).status_code == 202
        for name in ("agent_light", "results"):
            assert functions[name].post("/", json=_push(tape.messages[-1])).status_code == 204
    assert counts == HAPPY


def _taped(
    settings: config.Config, store: Callable[[config.Config], Any] | None, bus: Any
) -> services.Services:
    return services.Services(settings, store=store, bus=lambda _: Tape(bus))


def _client(name: str) -> Any:
    source = topology.FUNCTIONS / name / "main.py"
    return functions_framework.create_app(name, str(source)).test_client()


def _push(message: Message) -> dict[str, Any]:
    _, data, attributes = message
    encoded = base64.b64encode(data).decode()
    return {"message": {"data": encoded, "attributes": dict(attributes), "messageId": "1"}}


def _make_topics(settings: config.Config, channel: Callable[[str], Any]) -> None:
    from google.pubsub_v1 import PublisherClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

    transport = PublisherGrpcTransport(channel=channel(settings.pubsub_emulator_host))
    for hop in ("tasks", "results"):
        PublisherClient(transport=transport).create_topic(name=settings.topic(hop))
