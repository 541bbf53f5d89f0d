"""What the tests of the local cloud stand on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from emulators import push, tokens
from emulators.bridge import Bridge
from emulators.faults import Faults
from emulators.lane import Hop, Terms
from emulators.layout import PUSHER
from emulators.sources import Source
from emulators.sources.embedded import Embedded
from emulators.topology import Subscription

LIGHT = {"agent": "light"}  # attributes
AUDIENCE = "https://agent.example.com/pubsub/push"


@dataclass(frozen=True, kw_only=True)
class Bus:
    """A bus to test the bridge on, with topics of its own."""

    open: Callable[[], Source]
    project: str
    environment: Mapping[str, str]  # of a process that uses it

    def topic(self, name: str) -> str:
        """The full path of a topic."""
        return f"projects/{self.project}/topics/{name}"

    def hop(self, url: str, **terms: object) -> Hop:
        """A hop to this endpoint, from the topic `tasks` unless the terms say otherwise."""
        default: dict[str, object] = {
            "name": "sub-light",
            "topic": "tasks",
            "function": "agent_light",
            "path": "/pubsub/push",
        }
        subscription = Subscription(**{**default, **terms})  # type: ignore[arg-type]
        topic = self.topic(subscription.topic)
        return Hop(subscription=subscription, topic=topic, url=url, audience=AUDIENCE)


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> tokens.Issuer:
    return tokens.Issuer(tmp_path_factory.mktemp("issuer"))


@pytest.fixture(params=["embedded", pytest.param("pubsub", marks=pytest.mark.google)])
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Bus:
    project = f"p-{uuid4().hex[:8]}"
    if request.param == "embedded":
        path = str(tmp_path / "zantara.db")
        environment = {"BACKEND": "embedded", "EMBEDDED_PATH": path}
        return Bus(open=lambda: Embedded(path), project=project, environment=environment)
    host = request.getfixturevalue("emulators").pubsub_host

    def opened() -> Source:
        from emulators.sources.pubsub import PubSub

        return PubSub(host, project)

    return Bus(open=opened, project=project, environment={"PUBSUB_EMULATOR_HOST": host})


Bridging = Callable[..., AbstractAsyncContextManager[Source]]


@pytest.fixture
def bridging(bus: Bus, issuer: tokens.Issuer) -> Bridging:
    """Runs a bridge over these hops; gives the bus to publish on."""

    @asynccontextmanager
    async def bridged(*hops: Hop, faults: str = "") -> AsyncIterator[Source]:
        source = bus.open()
        terms = Terms(
            project=bus.project,
            signer=push.Signer(issuer, PUSHER),
            backoff=0.001,
            faults=Faults.parse(faults),
        )
        bridge = Bridge(source, hops, terms)
        await bridge.open()
        running = asyncio.create_task(bridge.run())
        try:
            yield source
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    return bridged
