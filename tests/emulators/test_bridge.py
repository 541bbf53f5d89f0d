"""The bridge delivers as Pub/Sub does, from the embedded queue and from Google's emulator."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from aiohttp import web
from google.auth import jwt

from emulators import bridge, lane, tokens
from emulators.layout import PUSHER
from emulators.sources import Source, calls, embedded
from emulators.topology import Subscription
from shared.storage.sqlite.bus import Queue
from tests.emulators.conftest import AUDIENCE, LIGHT, Bridging, Bus
from tests.emulators.stage import PATIENCE, Endpoint, Request, answer, endpoint, run


def acknowledgements(source: Source) -> asyncio.Event:
    """Set once the source has got one."""
    came, ack = asyncio.Event(), source.ack

    async def told(subscription: str, ack_id: str) -> None:
        await ack(subscription, ack_id)
        came.set()

    source.ack = told  # type: ignore[method-assign]
    return came


def failing(times: int, status: int = 503) -> Callable[[Request], web.StreamResponse]:
    """Refuses each message that often."""
    seen: Counter[str] = Counter()

    def script(request: Request) -> web.StreamResponse:
        seen[request.push["message"]["messageId"]] += 1
        refused = seen[request.push["message"]["messageId"]] <= times
        return web.Response(status=status if refused else 204)

    return script


def test_a_push_looks_as_pubsub_writes_it(
    bus: Bus, bridging: Bridging, issuer: tokens.Issuer
) -> None:
    async def play() -> None:
        async with endpoint(answer(204)) as agent, bridging(bus.hop(agent.url + "/p")) as source:
            await source.publish(bus.topic("tasks"), b'{"n": 1}', LIGHT | {"traceId": "t"})
            [got] = await agent.count(1)
        message = got.push.pop("message")
        assert (got.method, got.path, got.data) == ("POST", "/p", '{"n": 1}')
        assert got.headers["content-type"] == "application/json"
        assert message["attributes"] == LIGHT | {"traceId": "t"}
        assert message["messageId"] == message["message_id"] != ""
        assert message["publishTime"] == message["publish_time"]
        assert datetime.fromisoformat(message["publishTime"]).tzinfo
        assert got.push["subscription"] == f"projects/{bus.project}/subscriptions/sub-light"
        assert got.push["deliveryAttempt"] == 1
        claims = jwt.decode(  # type: ignore[no-untyped-call]
            got.headers["authorization"].removeprefix("Bearer "), issuer.certs(), audience=AUDIENCE
        )
        assert (claims["email"], claims["email_verified"]) == (PUSHER, True)

    run(play)


def test_what_is_empty_is_left_out_of_a_push(bus: Bus, bridging: Bridging) -> None:
    async def play() -> None:
        async with endpoint(answer(204)) as agent:
            hop = bus.hop(agent.url, max_delivery_attempts=None)
            async with bridging(hop) as source:
                await source.publish(bus.topic("tasks"), b"x", {})
                [got] = await agent.count(1)
        assert "attributes" not in got.push["message"]
        assert "deliveryAttempt" not in got.push

    run(play)


def test_each_subscription_gets_only_what_its_filter_lets_through(
    bus: Bus, bridging: Bridging
) -> None:
    async def play() -> None:
        async with endpoint(answer(204)) as light, endpoint(answer(204)) as codex:
            hops = (
                bus.hop(light.url, agent="light"),
                bus.hop(codex.url, agent="codex", name="sub-codex"),
            )
            async with bridging(*hops) as source:
                for number, agent in enumerate(("codex", "light", "nobody", "codex", "light")):
                    attributes = {"agent": agent}
                    await source.publish(bus.topic("tasks"), str(number).encode(), attributes)
                await light.count(2)
                await codex.count(2)
        assert sorted(each.data for each in light.got) == ["1", "4"]
        assert sorted(each.data for each in codex.got) == ["0", "3"]

    run(play)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_an_accepted_message_never_comes_again(bus: Bus, bridging: Bridging, status: int) -> None:
    async def play() -> None:
        async with endpoint(answer(status)) as agent:
            for text in ("first", "second"):  # the second bridge would find what the first left
                async with bridging(bus.hop(agent.url)) as source:
                    acknowledged = acknowledgements(source)
                    await source.publish(bus.topic("tasks"), text.encode(), LIGHT)
                    async with asyncio.timeout(PATIENCE):
                        await acknowledged.wait()
        assert [each.data for each in agent.got] == ["first", "second"]

    run(play)


@pytest.mark.parametrize("status", [301, 400, 401, 404, 429, 500, 503])
def test_a_refused_message_comes_again_and_counts_its_deliveries(
    bus: Bus, bridging: Bridging, status: int
) -> None:
    async def play() -> None:
        async with endpoint(failing(2, status)) as agent, bridging(bus.hop(agent.url)) as source:
            await source.publish(bus.topic("tasks"), b"x", LIGHT)
            got = await agent.count(3)
        assert [each.push["deliveryAttempt"] for each in got] == [1, 2, 3]
        assert len({each.push["message"]["messageId"] for each in got}) == 1

    run(play)


def test_after_its_last_attempt_a_message_goes_to_the_dead(bus: Bus, bridging: Bridging) -> None:
    async def play() -> None:
        async with endpoint(answer(500)) as agent, endpoint(answer(204)) as undertaker:
            dead = bus.hop(
                undertaker.url, name="sub-dead", topic="dead", max_delivery_attempts=None
            )
            async with bridging(bus.hop(agent.url), dead) as source:
                await source.publish(bus.topic("tasks"), b"x", LIGHT)
                [got] = await undertaker.count(1)
        assert len(agent.got) == 5
        assert got.data == "x"
        attributes = got.push["message"]["attributes"]
        assert attributes["agent"] == "light"
        assert attributes["CloudPubSubDeadLetterSourceSubscription"] == "sub-light"
        assert attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"

    run(play)


def test_a_slow_agent_does_not_hold_up_another(bus: Bus, bridging: Bridging) -> None:
    async def play() -> None:
        never = asyncio.Event()

        async def hang(request: Request) -> web.StreamResponse:
            await never.wait()
            raise AssertionError

        async with endpoint(hang) as slow, endpoint(answer(204)) as quick:
            hops = (
                bus.hop(slow.url, agent="slow", name="sub-slow"),
                bus.hop(quick.url, agent="quick", name="sub-quick"),
            )
            async with bridging(*hops) as source:
                for _ in range(lane.PUSHES + 20):
                    await source.publish(bus.topic("tasks"), b"x", {"agent": "slow"})
                await slow.count(lane.PUSHES)
                await source.publish(bus.topic("tasks"), b"x", {"agent": "quick"})
                await quick.count(1)
                assert len(slow.got) == lane.PUSHES

    run(play)


def test_pushes_are_made_at_once_not_one_by_one(bus: Bus, bridging: Bridging) -> None:
    async def play() -> None:
        all_here = asyncio.Event()

        async def together(request: Request) -> web.StreamResponse:
            if len(agent.got) == 50:
                all_here.set()
            await all_here.wait()
            return web.Response(status=204)

        async with endpoint(together) as agent, bridging(bus.hop(agent.url)) as source:
            for _ in range(50):
                await source.publish(bus.topic("tasks"), b"x", LIGHT)
            await agent.count(50)

    run(play)


def test_a_push_waits_for_an_endpoint_that_is_starting(bus: Bus, bridging: Bridging) -> None:
    async def play() -> None:
        agent = Endpoint(script=answer(204))
        async with bridging(bus.hop(agent.url)) as source:
            await source.publish(bus.topic("tasks"), b"x", LIGHT)
            await asyncio.sleep(0.2)  # time for the first tries to be refused; more proves the same
            async with agent.open():
                [got] = await agent.count(1)
        assert got.push["deliveryAttempt"] == 1

    run(play)


def test_an_endpoint_that_outlives_the_ack_deadline_gets_the_message_again(
    bus: Bus, bridging: Bridging
) -> None:
    async def play() -> None:
        never = asyncio.Event()

        async def hang_first(request: Request) -> web.StreamResponse:
            if request.push["deliveryAttempt"] == 1:
                await never.wait()
            return web.Response(status=204)

        async with endpoint(hang_first) as agent:
            hop = bus.hop(agent.url, ack_deadline_seconds=0.2)
            async with bridging(hop) as source:
                await source.publish(bus.topic("tasks"), b"x", LIGHT)
                got = await agent.count(2)
        assert got[1].push["deliveryAttempt"] == 2

    run(play)


def test_what_a_stopped_bridge_had_in_hand_comes_to_the_next_at_once(
    bus: Bus, bridging: Bridging, monkeypatch: pytest.MonkeyPatch
) -> None:
    for source in (embedded, calls):
        monkeypatch.setattr(source, "LEASE", 300.0)  # nobody waits for it to lapse

    async def play() -> None:
        never = asyncio.Event()

        async def hang_first(request: Request) -> web.StreamResponse:
            if request is agent.got[0]:
                await never.wait()
            return web.Response(status=204)

        async with endpoint(hang_first) as agent:
            async with bridging(bus.hop(agent.url)) as source:
                await source.publish(bus.topic("tasks"), b"x", LIGHT)
                await agent.count(1)
            async with bridging(bus.hop(agent.url)):
                got = await agent.count(2)
        assert got[0].push["message"]["messageId"] == got[1].push["message"]["messageId"]

    run(play)


def test_the_lease_of_a_slow_push_is_extended(
    bus: Bus, bridging: Bridging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "LEASE", 0.03)  # how often; the source's own stays as it is

    async def play() -> None:
        extended = asyncio.Event()

        async def slow(request: Request) -> web.StreamResponse:
            await extended.wait()
            return web.Response(status=204)

        async with endpoint(slow) as agent, bridging(bus.hop(agent.url)) as source:
            extend = source.extend

            async def told(subscription: str, ack_ids: Sequence[str]) -> None:
                await extend(subscription, ack_ids)
                if ack_ids:
                    extended.set()

            source.extend = told  # type: ignore[method-assign]
            acknowledged = acknowledgements(source)
            await source.publish(bus.topic("tasks"), b"x", LIGHT)
            async with asyncio.timeout(PATIENCE):
                await acknowledged.wait()
        assert len(agent.got) == 1

    run(play)


def test_an_extended_lease_outlives_the_first_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        source = embedded.Embedded(str(tmp_path / "zantara.db"))
        await source.subscribe(Subscription(name="s", topic="t", function="f", path="/"), "t")
        await source.publish("t", b"x", {})
        with monkeypatch.context() as lapsed:
            lapsed.setattr(embedded, "LEASE", 0.0)
            [_], [again] = await source.pull("s", 1), await source.pull("s", 1)
        await source.extend("s", [again.ack_id])
        assert Queue(str(tmp_path / "zantara.db")).pull("s", 1, 1) == []
        await source.close()

    run(play)


def test_ticks_come_by_themselves(bus: Bus, bridging: Bridging) -> None:
    async def play() -> None:
        async with endpoint(answer(204)) as sweep:
            hop = bus.hop(sweep.url, name="sub-ticks", topic="ticks")
            async with bridging(hop):
                await sweep.count(1)

    run(play)


def test_no_tick_comes_while_one_is_on_its_way(
    bus: Bus, bridging: Bridging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else slow sweeps would pile up, each making the others slower."""
    monkeypatch.setattr(bridge, "TICK", 0.2)

    async def play() -> None:
        swept = asyncio.Event()

        async def slow(request: Request) -> web.StreamResponse:
            await swept.wait()
            return web.Response(status=204)

        async with endpoint(slow) as sweep:
            hop = bus.hop(sweep.url, name="sub-ticks", topic="ticks")
            async with bridging(hop):
                await sweep.count(1)
                await asyncio.sleep(5 * bridge.TICK)
                at_once = len(sweep.got)
                swept.set()
                await sweep.count(at_once + 3)
        assert at_once <= 2  # the second may have been published before the first arrived

    run(play)


def test_the_backoff_doubles_between_its_bounds() -> None:
    subscription = Subscription(name="s", topic="tasks", function="f", path="/")
    delays = [lane.backoff(subscription, attempt) for attempt in range(1, 9)]
    assert delays == [10, 20, 40, 80, 160, 320, 600, 600]
