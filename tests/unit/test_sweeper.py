"""The sweep moves on whatever is due, and leaves everything else alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, get_args

import pytest

from shared import errors, sweeper
from shared.clock import SECOND
from shared.tasks import commits, publish as hops, record, transitions
from shared.tasks.record import Task
from tests.unit.conftest import COST, LEASE, World

FAULT = {"code": "agent_error", "detail": "no"}
GRACE = 30  # seconds


@pytest.fixture(params=[False, True], ids=["plain", "sharded"], autouse=True)
def sharded(request: pytest.FixtureRequest, world: World) -> None:
    """Whether the sweep looks by shard; it must find the same."""
    world.set(sharded=request.param)


def sweep(world: World, after: float = 0) -> int:
    """Sweeps after a while."""
    world.clock.forward(after)
    return sweeper.sweep(world.services)


def about(world: World, task: Task) -> tuple[str, int, int, int]:
    """Its state, attempts, and what it holds and was charged, in cents."""
    stored = world.task(task.id)
    return stored.status, stored.attempts, stored.held // 10_000, stored.charged // 10_000


def test_what_is_not_due_is_left_alone(world: World) -> None:
    queued, running, ended = world.queued(), world.running(), world.ended("succeeded")
    before = [world.task(each.id) for each in (queued, running, ended)]
    assert sweep(world, GRACE - 1) == 0
    assert [world.task(each.id) for each in (queued, running, ended)] == before
    assert world.published("tasks") == []


def test_a_task_whose_message_was_lost_is_published_again(world: World) -> None:
    task = world.queued()
    assert sweep(world, GRACE) == 1
    [message] = world.published("tasks")
    assert message.data["version"] == world.task(task.id).version
    claimed = commits.claim(
        world.services, replace(task, version=message.data["version"]), COST, LEASE
    )
    assert claimed.attempts == 1
    assert sweep(world) == 0  # not before the next grace


def test_a_task_that_waits_long_is_published_less_and_less_often(world: World) -> None:
    """Agents that cannot keep up must not be given more messages for it."""
    world.queued(ttlSeconds=100 * GRACE)
    minutes = [minute for minute in range(1, 50) if sweep(world, GRACE)]
    assert minutes[:4] == [1, 2, 4, 8]
    assert len(minutes) < 10


def test_a_message_of_before_the_sweep_still_begins_the_task(world: World) -> None:
    told = world.told(world.queued(ttlSeconds=600))
    sweep(world, GRACE)
    assert commits.claim(world.services, told, COST, LEASE).attempts == 1


def test_a_task_that_expires_in_the_queue_costs_nothing(world: World) -> None:
    task = world.queued(ttlSeconds=20)
    assert sweep(world, 20) == 1
    assert about(world, task) == ("expired", 0, 0, 0)
    assert (world.task(task.id).error or {})["code"] == "expired"
    assert world.published("tasks") == []
    assert sweep(world, 3600) == 0


def test_a_task_that_expires_while_it_runs_keeps_its_charge(world: World) -> None:
    task = world.running(ttlSeconds=20)
    assert sweep(world, 20) == 1
    assert about(world, task) == ("expired", 1, 5, 5)
    with pytest.raises(errors.TaskEnded):
        commits.release(world.services, task, FAULT)


def test_a_lapsed_lease_puts_the_task_back_and_fences_its_attempt(world: World) -> None:
    task = world.running(ttlSeconds=600)
    assert sweep(world, LEASE - 1) == 0
    assert sweep(world, 1) == 1
    assert about(world, task) == ("queued", 1, 10, 5)
    assert world.task(task.id).runs["1"]["error"]["code"] == "lease_lapsed"
    with pytest.raises(errors.Fenced):
        commits.release(world.services, task, FAULT)
    [message] = world.published("tasks")
    again = commits.claim(world.services, world.task(message.data["taskId"]), COST, LEASE)
    assert (again.attempts, about(world, again)) == (2, ("running", 2, 10, 10))


def test_the_last_attempt_s_lapsed_lease_fails_the_task(world: World) -> None:
    world.set(max_attempts=1)
    task = world.running(ttlSeconds=600)
    assert sweep(world, LEASE) == 1
    assert about(world, task) == ("failed", 1, 5, 5)
    assert (world.task(task.id).error or {})["code"] == "lease_lapsed"


def test_a_released_task_whose_message_never_comes_again_is_published(world: World) -> None:
    task = commits.release(world.services, world.running(ttlSeconds=600), FAULT)
    assert sweep(world, 59) == 0
    assert sweep(world, 1) == 1
    assert world.published("tasks")[0].data["taskId"] == task.id


def test_an_owed_callback_is_published_until_it_is_delivered(world: World) -> None:
    world.set(callback_secrets=("whsec_" + "A" * 32,))
    task = world.ended("succeeded", callbackUrl="https://93.184.216.34/hook")
    for _ in range(2):
        assert sweep(world, GRACE) == 1
        assert world.published("callbacks")[0].data == {"taskId": task.id}
    stored = world.task(task.id)
    commits.move(
        world.services, stored, replace(stored, callback={"state": "delivered"}, wake_at=None)
    )
    assert sweep(world, 3600) == 0
    assert about(world, task) == ("succeeded", 1, 5, 5)


def test_two_sweeps_at_once_move_each_task_once(world: World) -> None:
    queued = [world.queued(ttlSeconds=600) for _ in range(10)]
    expired = [world.queued(ttlSeconds=5) for _ in range(10)]
    world.clock.forward(GRACE)
    with ThreadPoolExecutor(4) as pool:
        moved = sum(pool.map(lambda _: sweeper.sweep(world.services), range(4)))
    assert moved == 20
    assert sorted(each.data["taskId"] for each in world.published("tasks")) == sorted(
        each.id for each in queued
    )
    assert {about(world, each) for each in expired} == {("expired", 0, 0, 0)}


def test_more_than_a_page_is_moved_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "PAGE", 3)
    made = [world.queued(ttlSeconds=600) for _ in range(8)]  # all due at the same microsecond
    assert sweep(world, GRACE) == 8
    assert {each.data["taskId"] for each in world.published("tasks")} == {each.id for each in made}


def test_what_another_hop_moves_meanwhile_is_its_own(world: World) -> None:
    told = world.told(world.queued(ttlSeconds=600))
    world.clock.forward(GRACE)
    world.store.before = lambda: commits.claim(world.services, told, COST, LEASE)
    assert sweep(world) == 0
    assert about(world, told) == ("running", 1, 10, 5)
    assert world.published("tasks") == []


def test_a_task_that_cannot_be_published_comes_back_after_the_grace(
    world: World, mocker: Any
) -> None:
    task = world.queued(ttlSeconds=600)
    publish = mocker.patch.object(hops, "to_agent", side_effect=errors.Unavailable)
    sweep(world, GRACE)
    mocker.stop(publish)
    assert sweep(world) == 0
    assert sweep(world, GRACE) == 1
    assert world.published("tasks")[0].data["taskId"] == task.id


def test_a_task_that_nobody_can_move_does_not_hold_up_the_others(world: World) -> None:
    broken, sound = world.queued(ttlSeconds=600), world.queued(ttlSeconds=600)
    commits.move(world.services, broken, replace(broken, payload="{", wake_at=1))
    sweep(world, GRACE)
    assert [each.data["taskId"] for each in world.published("tasks")] == [sound.id]


def test_every_live_task_is_due_at_some_time_and_no_ended_one(world: World) -> None:
    live = [
        world.queued(),
        world.running(),
        commits.release(world.services, world.running(), FAULT),
    ]
    for task in live:
        stored = world.task(task.id)
        assert world.clock.micros < (stored.wake_at or 0) <= stored.deadline
    for status in get_args(record.Status):
        if status in record.TERMINAL:
            assert world.task(world.ended(status).id).wake_at is None


@pytest.mark.parametrize("seconds", [1, 29, 31, 59, 61, 3600])
def test_whatever_happens_every_task_ends_soon_after_its_deadline(
    world: World, seconds: float
) -> None:
    """Agents never answer; the sweep alone must bring each task to its end."""
    made = [world.queued(ttlSeconds=seconds), world.running(ttlSeconds=seconds)]
    deadline = made[0].deadline
    while world.clock.micros < deadline:
        sweep(world, min(20, (deadline - world.clock.micros) / SECOND))
    assert {world.task(each.id).status for each in made} <= {"expired", "failed"}


def test_the_function_sweeps_at_any_tick(world: World) -> None:
    task = world.queued(ttlSeconds=5)
    world.clock.forward(5)
    assert world.push(world.client("sweep"), {}).status_code == 204
    assert world.task(task.id).status == "expired"


def test_a_fault_s_detail_says_which_attempt(world: World) -> None:
    assert "attempt 1" in transitions.lease_lapsed(world.running())["detail"]
