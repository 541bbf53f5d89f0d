"""The bridge: pulls from every subscription and forwards as HTTP push, as Pub/Sub does.

`python -m emulators.bridge` runs it alone, between a Pub/Sub emulator and functions that were
started by hand. It pushes to `AGENT_PUSH_URL`, or an agent's own `AGENT_<NAME>_URL`, and to
`ORCH_RESULTS_URL`, `CALLBACK_PUSH_URL`, `SWEEP_PUSH_URL` and `DEAD_LETTER_PUSH_URL`; a hop without
one is left alone. At an `OIDC_CERTS_URL` on this machine it serves its issuer's certificates.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from emulators import Refused, certs, push, tokens, topology
from emulators.lane import Hop, Lane, Terms
from emulators.layout import FRONT_AGENT, PUSHER, ROOT
from emulators.sources import Source
from shared import config, errors, log

KNOCK = 0.1  # seconds between two tries to reach the bus
TICK = 1.0  # seconds between two looks whether a tick is due; Cloud Scheduler's come every minute


class Bridge:
    """All hops at once; each has a lane of its own, so none holds up another."""

    def __init__(self, source: Source, hops: Sequence[Hop], terms: Terms) -> None:
        self._source, self._hops, self._terms = source, hops, terms
        self._lanes: list[Lane] = []

    async def open(self) -> None:
        """Makes every topic and subscription, as soon as the bus is there."""
        await asyncio.gather(*map(self._subscribed, self._hops))

    async def _subscribed(self, hop: Hop) -> None:
        while True:
            try:
                return await self._source.subscribe(hop.subscription, hop.topic)
            except errors.Unavailable as error:
                log.event("waiting for the bus", "DEBUG", detail=error.detail)
            await asyncio.sleep(KNOCK)

    async def run(self) -> None:
        """Delivers until it is cancelled; then lets go of what is on its way."""
        async with push.session() as client:
            lanes = self._lanes = [
                Lane(hop, self._source, self._terms, client, self.kick) for hop in self._hops
            ]
            try:
                async with asyncio.TaskGroup() as group:
                    for lane in lanes:
                        group.create_task(lane.run())
                        group.create_task(lane.keep())
                    group.create_task(self._tick([lane for lane in lanes if lane.ticks]))
            finally:
                if struck := sum((lane.dice.struck for lane in lanes), Counter()):
                    log.event("faults", struck=dict(struck))  # before the emulator may be missed
                await asyncio.gather(*(lane.release() for lane in lanes))
                await self._source.close()

    def kick(self, topic: str) -> None:
        """Looks at once into the subscriptions of a topic (its short name)."""
        for hop in self._hops:
            if hop.subscription.topic == topic:
                self._source.kick(hop.subscription.name)

    def strike(self, subscription: str, kind: str, times: int, trace: str) -> None:
        """Lets a fault strike the next messages of a trace on a subscription."""
        for lane in self._lanes:
            if lane.name == subscription:
                lane.dice.ask(kind, times, trace)

    async def _tick(self, lanes: Sequence[Lane]) -> None:
        """Ticks for ever, but not where one is on its way: no slow sweep is asked for another."""
        while True:
            for lane in lanes:
                if not lane.busy:
                    with suppress(errors.Unavailable):
                        await self._source.publish(lane.topic, b"{}", {})
            await asyncio.sleep(TICK)


def topic(name: str, settings: config.Config) -> str:
    """The full path of a topic of the topology."""
    if name in ("tasks", "results", "callbacks"):
        return settings.topic(name)
    return f"projects/{settings.gcp_project}/topics/{name}"


def source(settings: config.Config) -> Source:
    """The bus that the environment names."""
    if settings.backend == "embedded":
        from emulators.sources.embedded import Embedded

        return Embedded(settings.embedded_path)
    from emulators.sources.pubsub import PubSub

    return PubSub(settings.pubsub_emulator_host, settings.gcp_project)


async def until_stopped(bridge: Bridge) -> None:
    """Runs it until Ctrl-C or SIGTERM."""
    running = asyncio.create_task(bridge.run())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with suppress(asyncio.CancelledError):
        await running


def hops(settings: config.Config, environ: Mapping[str, str]) -> list[Hop]:
    """The hops whose push endpoints the environment names; the audience is the endpoint."""
    named = ((each, _endpoint(each, settings, environ)) for each in topology.subscriptions())
    return [
        Hop(subscription=each, topic=topic(each.topic, settings), url=url, audience=url)
        for each, url in named
        if url
    ]


def _endpoint(
    subscription: topology.Subscription, settings: config.Config, environ: Mapping[str, str]
) -> str:
    if subscription.function == "results":
        return environ.get("ORCH_RESULTS_URL", "")
    if not subscription.agent:
        return environ.get(f"{subscription.function.upper()}_PUSH_URL", "")
    own, shared = settings.agent_urls.get(subscription.agent), environ.get("AGENT_PUSH_URL", "")
    if own and not (shared and subscription.agent == FRONT_AGENT):
        return own.rstrip("/") + subscription.path
    return shared


async def _alone(environ: Mapping[str, str]) -> None:
    beside = environ.get("PUBSUB_EMULATOR_HOST", "")  # the bridge itself needs no Firestore
    settings = config.load({"FIRESTORE_EMULATOR_HOST": beside, **environ})
    named = hops(settings, environ)
    if not named:
        sys.exit("set AGENT_PUSH_URL and ORCH_RESULTS_URL: the endpoints to push to")
    data = Path(environ.get("ZANTARA_DATA", ROOT / ".zantara"))
    issuer = tokens.Issuer(data)
    terms = Terms(project=settings.gcp_project, signer=push.Signer(issuer, PUSHER))
    bridge = Bridge(source(settings), named, terms)
    async with certs.served(issuer, settings.oidc_certs_url):
        await bridge.open()
        for hop in named:
            print(f"{hop.subscription.name} -> {hop.url}", flush=True)
        await until_stopped(bridge)


if __name__ == "__main__":
    try:
        asyncio.run(_alone(os.environ))
    except (Refused, errors.Misconfigured) as refused:
        sys.exit(f"zantara: {refused}")
