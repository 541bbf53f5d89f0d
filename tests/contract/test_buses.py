"""Every bus keeps one contract: what is published comes, at least once, until acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest

from shared import config, errors, runtime
from shared.storage.bus import Bus
from shared.storage.sqlite.bus import Delivery, Queue
from tests.contract.conftest import Environment
from tests.contract.pubsub import PubSub

TOPIC = "projects/contract/topics/tasks"
KNOCK = 0.005  # seconds between two pulls of nothing
LONG = 600.0  # seconds: an ack deadline that does not pass here
SHORT = 1.0  # seconds: the shortest that Pub/Sub takes
PATIENCE = 30.0  # seconds that a delivery may take


class Pulled(Bus, Protocol):
    """A bus with the pull side that the bridge delivers from, as the embedded backend has it."""

    def subscribe(
        self, name: str, topic: str, attribute_filter: Mapping[str, str] | None = None
    ) -> None: ...

    def pull(
        self, subscription: str, limit: int, ack_deadline_seconds: float
    ) -> list[Delivery]: ...

    def ack(self, ack_ids: Sequence[str]) -> None: ...

    def nack(self, ack_id: str, delay_seconds: float) -> None: ...


@pytest.fixture
def queue(embedded: Environment) -> Queue:
    """The embedded queue."""
    return Queue(embedded["EMBEDDED_PATH"])


@pytest.fixture
def pubsub(on_google: Environment) -> PubSub:
    """Google's emulator."""
    return PubSub(on_google["PUBSUB_EMULATOR_HOST"])


@pytest.fixture(params=["queue", pytest.param("pubsub", marks=pytest.mark.google)])
def bus(request: pytest.FixtureRequest) -> Pulled:
    """A bus with one subscription, `all`, that is new to every test."""
    bus: Pulled = request.getfixturevalue(request.param)
    bus.subscribe("all", TOPIC)
    return bus


def pulled(bus: Pulled, count: int, name: str = "all", deadline: float = LONG) -> list[Delivery]:
    """The next deliveries, waited for."""
    found: list[Delivery] = []
    until = time.monotonic() + PATIENCE
    while len(found) < count and time.monotonic() < until:
        found += bus.pull(name, count - len(found), deadline)
        time.sleep(0 if found else KNOCK)
    assert len(found) == count
    return found


def nothing_left(bus: Pulled, name: str = "all") -> bool:
    """Whether a message published now is the only one to come."""
    marker = bus.publish(TOPIC, b"marker", {"marker": "true"})
    [found] = pulled(bus, 1, name)
    return found.message_id == marker


def test_what_is_published_comes_with_its_data_attributes_and_time(bus: Pulled) -> None:
    before = time.time()
    id_ = bus.publish(TOPIC, b'{"a": 1}', {"agent": "light", "taskId": "1"})
    [delivery] = pulled(bus, 1)
    assert (delivery.message_id, delivery.data) == (id_, b'{"a": 1}')
    assert delivery.attributes == {"agent": "light", "taskId": "1"}
    assert before - 1 <= delivery.published_at / 1e6 <= time.time() + 1
    assert delivery.attempt == 1


@pytest.mark.parametrize(
    "data",
    [bytes(range(256)), "Grüße 😀".encode(), b"x" * 500_000],
    ids=["bytes", "UTF-8", "large"],
)
def test_data_is_bytes_and_attributes_are_any_text(bus: Pulled, data: bytes) -> None:
    bus.publish(TOPIC, data, {"schön": "世界 😀 \"'"})
    [delivery] = pulled(bus, 1)
    assert (delivery.data, delivery.attributes) == (data, {"schön": "世界 😀 \"'"})


def test_every_message_has_an_id_of_its_own_and_none_is_lost(bus: Pulled) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda n: bus.publish(TOPIC, str(n).encode(), {}), range(60)))
    assert len(set(ids)) == 60
    assert sorted(each.message_id for each in pulled(bus, 60)) == sorted(ids)


def test_pulls_at_once_share_the_messages(bus: Pulled) -> None:
    ids = [bus.publish(TOPIC, b"1", {}) for _ in range(40)]
    found: list[str] = []
    lock, until = threading.Lock(), time.monotonic() + PATIENCE

    def drain(_: int) -> None:
        while len(found) < len(ids) and time.monotonic() < until:
            deliveries = bus.pull("all", 3, LONG)
            with lock:
                found.extend(each.message_id for each in deliveries)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(drain, range(4)))
    assert sorted(found) == sorted(ids)


def test_each_subscription_has_its_own_copy(bus: Pulled) -> None:
    bus.subscribe("second", TOPIC)
    id_ = bus.publish(TOPIC, b"1", {})
    [first] = pulled(bus, 1)
    bus.ack([first.ack_id])
    [second] = pulled(bus, 1, "second")
    assert first.message_id == second.message_id == id_


def test_another_topic_is_another_topic(bus: Pulled) -> None:
    bus.subscribe("other", TOPIC + "-other")
    bus.publish(TOPIC + "-other", b"1", {})
    assert nothing_left(bus)


def test_a_subscription_made_twice_keeps_what_it_holds(bus: Pulled) -> None:
    id_ = bus.publish(TOPIC, b"1", {})
    bus.subscribe("all", TOPIC)
    assert [each.message_id for each in pulled(bus, 1)] == [id_]
    assert nothing_left(bus)


def test_a_message_under_way_is_hidden_and_an_acknowledged_one_is_gone(bus: Pulled) -> None:
    bus.publish(TOPIC, b"1", {})
    [delivery] = pulled(bus, 1)
    assert nothing_left(bus)
    bus.ack([delivery.ack_id])
    assert nothing_left(bus)


def test_what_is_not_acknowledged_in_time_comes_again_counted(bus: Pulled) -> None:
    id_ = bus.publish(TOPIC, b"1", {"a": "b"})
    seen = [pulled(bus, 1, deadline=SHORT)[0] for _ in range(3)]
    assert [(each.message_id, each.attempt) for each in seen] == [(id_, 1), (id_, 2), (id_, 3)]
    assert {each.attributes["a"] for each in seen} == {"b"}


def test_a_nack_brings_it_again_after_its_delay(bus: Pulled) -> None:
    id_ = bus.publish(TOPIC, b"1", {})
    [delivery] = pulled(bus, 1)
    bus.nack(delivery.ack_id, 0)
    [again] = pulled(bus, 1)
    assert (again.message_id, again.attempt) == (id_, 2)
    bus.nack(again.ack_id, LONG)
    assert nothing_left(bus)


def test_a_late_acknowledgement_is_harmless(bus: Pulled) -> None:
    ids = [bus.publish(TOPIC, b"1", {}) for _ in range(2)]
    [late] = pulled(bus, 1, deadline=SHORT)
    ids.remove(late.message_id)
    found = pulled(bus, 2)  # the other one, and this one again
    bus.ack([late.ack_id, late.ack_id])
    bus.ack([each.ack_id for each in found])
    bus.ack([each.ack_id for each in found])
    assert nothing_left(bus)


def test_a_filter_lets_through_what_has_the_attributes(queue: Queue) -> None:
    """Not on Google's emulator, which ignores filters: there the bridge applies them."""
    queue.subscribe("light", TOPIC, {"agent": "light"})
    queue.subscribe("both", TOPIC, {"agent": "light", "kind": "x"})
    for attributes in ({"agent": "light"}, {"agent": "codex", "kind": "x"}, {}):
        queue.publish(TOPIC, b"1", attributes)
    id_ = queue.publish(TOPIC, b"1", {"agent": "light", "kind": "x", "more": "m"})
    assert len(queue.pull("light", 10, LONG)) == 2
    assert [each.message_id for each in queue.pull("both", 10, LONG)] == [id_]


def test_a_late_nack_does_not_take_the_message_from_a_later_delivery(queue: Queue) -> None:
    queue.subscribe("all", TOPIC)
    queue.publish(TOPIC, b"1", {})
    [late] = pulled(queue, 1, deadline=0.001)
    [again] = pulled(queue, 1)
    queue.nack(late.ack_id, 0)
    assert (again.attempt, queue.pull("all", 1, LONG)) == (2, [])


def test_the_queue_survives_its_process_and_serves_another(embedded: Environment) -> None:
    first = Queue(embedded["EMBEDDED_PATH"])
    first.subscribe("all", TOPIC)
    second = Queue(embedded["EMBEDDED_PATH"])
    seen = second.version()
    id_ = first.publish(TOPIC, b"1", {})
    assert second.version() != seen
    assert [each.message_id for each in second.pull("all", 1, LONG)] == [id_]


def test_a_topic_that_nobody_hears_keeps_nothing(queue: Queue) -> None:
    queue.publish(TOPIC, b"early", {})
    queue.subscribe("late", TOPIC)
    assert queue.pull("late", 1, LONG) == []


def test_pubsub_that_is_away_is_unavailable(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shared.storage.google import channel

    monkeypatch.setattr(channel, "CALL", 0.2)
    host = f"127.0.0.1:{closed_port}"
    settings = config.load({"FIRESTORE_EMULATOR_HOST": host, "PUBSUB_EMULATOR_HOST": host})
    with pytest.raises(errors.Unavailable):
        runtime.Services(settings).bus.publish(TOPIC, b"1", {})


@pytest.mark.google
def test_a_topic_that_does_not_exist_is_unavailable(pubsub: PubSub) -> None:
    with pytest.raises(errors.Unavailable, match="not found"):
        pubsub.publish(TOPIC + "-unmade", b"1", {})
