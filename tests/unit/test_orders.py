"""An order becomes a task: with a deadline, a budget, an identity, and a trace."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, strategies as st

from shared import errors, orders, schemas
from shared.clock import SECOND
from shared.tasks import messages, record
from shared.tasks.record import Task
from tests.unit.conftest import World

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
MICROS = st.integers(0, 4_000_000_000 * SECOND)  # until 2096
CENTS = st.integers(0, 10**13)


def test_a_task_holds_its_budget_and_is_due_if_its_message_is_lost(world: World) -> None:
    task = world.order(budgetCents=10, ttlSeconds=60)
    now = world.clock.micros
    assert (task.status, task.budget, task.held, task.charged) == ("queued", 100_000, 100_000, 0)
    assert (task.created_at, task.deadline) == (now, now + 60 * SECOND)
    assert task.wake_at == now + 30 * SECOND
    assert world.order(ttlSeconds=5).wake_at == now + 5 * SECOND


def test_what_is_not_named_is_as_the_environment_says(world: World) -> None:
    world.set(default_ttl_seconds=7, default_budget_cents=12_345, max_attempts=3)
    task = orders.task(world.services, {"payload": None}, agent="light")
    assert task.deadline == world.clock.micros + 7 * SECOND
    assert (task.budget, task.max_attempts, task.payload) == (12_345, 3, "null")


def test_a_key_makes_the_id_and_no_key_makes_one_that_nobody_guesses(world: World) -> None:
    first, again = (world.order(idempotencyKey="k") for _ in range(2))
    assert first.id == again.id == record.keyed_id("", "light", "k")
    ids = {world.order().id for _ in range(10)} | {world.order(idempotencyKey=None).id}
    assert len(ids) == 11
    assert all(schemas.task_id(each) for each in ids)


def test_owners_do_not_share_keys(world: World) -> None:
    order = {"payload": 1, "idempotencyKey": "k"}
    mine, theirs = (orders.task(world.services, order, agent="a", owner=each) for each in "xy")
    assert mine.id != theirs.id


def test_two_requests_are_one_where_agent_money_payload_callback_and_account_are(
    world: World,
) -> None:
    base: dict[str, Any] = {"payload": {"a": 1, "b": 2}, "callbackUrl": None, "account": None}
    prints = [
        orders.fingerprint("light", 10, base),
        orders.fingerprint("other", 10, base),
        orders.fingerprint("light", 11, base),
        orders.fingerprint("light", 10, {**base, "payload": {"a": 1, "b": 3}}),
        orders.fingerprint("light", 10, {**base, "callbackUrl": "https://a"}),
        orders.fingerprint("light", 10, {**base, "account": "a"}),
    ]
    assert len(set(prints)) == len(prints)
    same = {"payload": base["payload"], "ttl": 1, "traceId": "t", "mode": "http"}
    assert orders.fingerprint("light", 10, same) == prints[0]


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ({}, "give ttl"),
        ({"ttl": 1, "ttlSeconds": 1}, "either"),
        ({"ttl": 1_000 * SECOND}, "lies in the past"),
        ({"ttl": 2_000 * SECOND}, "lies in the past"),
        ({"ttl": 2_000 * SECOND + 604_801 * SECOND}, "at most 604800 seconds from now"),
    ],
)
def test_a_dispatch_names_one_deadline_that_is_still_to_come(
    order: dict[str, int], why: str
) -> None:
    with pytest.raises(errors.Invalid, match=why) as caught:
        orders.require_deadline(order, now=2_000 * SECOND)
    assert caught.value.members["errors"][0]["field"].startswith("ttl")


def test_a_deadline_in_time_is_taken() -> None:
    orders.require_deadline({"ttl": 2_001 * SECOND}, now=2_000 * SECOND)
    orders.require_deadline({"ttlSeconds": 1}, now=2_000 * SECOND)
    orders.check_deadline({}, now=2_000 * SECOND)


def test_the_seed_s_deadline_is_a_point_in_time(world: World) -> None:
    until = time.time() + 60
    order = schemas.load(schemas.Run(), {"payload": 1, "ttl": until})
    task = orders.task(world.services, order, agent="light")
    assert abs(task.deadline - until * SECOND) <= 1


@given(MICROS, CENTS, CENTS)
def test_what_a_task_must_know_survives_its_message_exactly(
    deadline: int, budget: int, charged: int
) -> None:
    money: dict[str, Any] = {"budget": budget, "charged": charged}
    task = Task(id="0" * 32, agent="a", trace_id="t", deadline=deadline, **money)
    run = schemas.load(schemas.Run(), json.loads(messages.encode(messages.run(task))))
    known = messages.told(run, "a")
    assert (known.deadline, known.budget, known.charged) == (deadline, budget, charged)


def test_a_message_tells_an_agent_all_it_needs(world: World) -> None:
    task = world.queued(idempotencyKey="k", traceparent=PARENT)
    told = world.told(task)
    same = [
        *("id", "version", "agent", "payload", "deadline", "budget", "held", "charged", "attempts"),
        *("max_attempts", "idempotency_key", "trace_id", "traceparent", "callback_url", "account"),
    ]
    assert [getattr(told, name) for name in same] == [getattr(task, name) for name in same]


def test_a_message_s_attributes_are_what_the_seed_names_and_what_filters_need(
    world: World,
) -> None:
    keyed = messages.attributes(world.order(idempotencyKey="k", traceparent=PARENT))
    assert keyed["agent"] == "light"
    assert (keyed["traceId"], keyed["traceparent"]) == (TRACE, PARENT)
    assert keyed["idempotencyKey"] == "k"
    assert "idempotencyKey" not in messages.attributes(world.order())


TRACES: dict[str, tuple[dict[str, str], str | None, str | None]] = {
    "nothing": ({}, None, None),
    "a trace's id": ({"traceId": TRACE}, TRACE, None),
    "an id of another form": ({"traceId": "mine"}, "mine", ""),
    "a parent": ({"traceparent": PARENT}, TRACE, PARENT),
    "both": ({"traceId": "mine", "traceparent": PARENT}, "mine", PARENT),
}


@pytest.mark.parametrize(("order", "trace_id", "parent"), TRACES.values(), ids=TRACES)
def test_a_trace_goes_on_or_begins(
    order: dict[str, str], trace_id: str | None, parent: str | None
) -> None:
    found, traceparent = orders.trace(order)
    assert found == trace_id if trace_id else orders.HEX32.fullmatch(found)
    if parent is not None:
        assert traceparent == (parent or None)
    else:
        schemas.load(schemas.Run(), {"payload": 1, "traceparent": traceparent})
        assert (traceparent or "").split("-")[1] == found
