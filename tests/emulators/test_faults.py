"""Faults are read strictly, and strike alike wherever the seed is alike."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from emulators.faults import Dice, Faults
from tests.emulators.conftest import LIGHT, Bridging, Bus
from tests.emulators.stage import answer, endpoint, run


def test_the_text_of_the_option_is_read_and_written_alike() -> None:
    faults = Faults.parse("duplicate=0.2,drop-ack=0.1,delay=2,reorder=0.05,seed=7")
    assert faults == Faults(duplicate=0.2, drop_ack=0.1, delay=2, reorder=0.05, seed=7)
    assert Faults.parse(faults.dumps()) == faults
    assert Faults.parse("") == Faults()


@pytest.mark.parametrize(
    "text",
    ["lose=0.1", "drop", "drop=", "drop=often", "drop=1.5", "drop=-1", "drop=nan", "delay=99"],
)
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text.partition("=")[0]):
        Faults.parse(text)


def strikes(seed: int, lane: str) -> list[bool]:
    async def rolled() -> list[bool]:
        dice = Dice(Faults(duplicate=0.5, seed=seed), lane)
        return [dice.strikes("duplicate") for _ in range(64)]

    return asyncio.run(rolled())


def test_the_same_seed_strikes_the_same_messages_of_a_lane() -> None:
    assert strikes(1, "sub-light") == strikes(1, "sub-light")
    assert strikes(1, "sub-light") != strikes(2, "sub-light")
    assert strikes(1, "sub-light") != strikes(1, "sub-results")


@pytest.mark.parametrize(
    ("faults", "attempts"),
    [
        ("drop=0.5,seed=1", None),
        ("drop-ack=0.5,seed=1", None),
        ("duplicate=1", 5),
        ("delay=0.05", 5),
    ],
)
def test_whatever_the_faults_every_message_arrives(
    bus: Bus, bridging: Bridging, faults: str, attempts: int | None
) -> None:
    async def play() -> None:
        async with endpoint(answer(204)) as agent:
            hop = bus.hop(agent.url, max_delivery_attempts=attempts)
            async with bridging(hop, faults=faults) as source:
                for number in range(20):
                    await source.publish(bus.topic("tasks"), str(number).encode(), LIGHT)
                await agent.until(lambda got: len({each.data for each in got}) == 20)
                if faults.startswith("duplicate"):
                    await agent.count(40)
                if faults.startswith("drop-ack"):
                    await agent.count(25)

    run(play)


def test_a_reordered_message_arrives_after_a_later_one(bus: Bus, bridging: Bridging) -> None:
    async def play() -> None:
        async with endpoint(answer(204)) as agent:
            hop = bus.hop(agent.url)
            async with bridging(hop, faults="reorder=0.4,seed=3") as source:
                for number in range(20):
                    await source.publish(bus.topic("tasks"), str(number).encode(), LIGHT)
                    await asyncio.sleep(0.01)
                await agent.count(20)
        order = [int(each.data) for each in agent.got]
        assert any(later < earlier for earlier, later in itertools.pairwise(order))

    run(play)
