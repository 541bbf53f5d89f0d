"""Every transition of a task is one commit; whoever comes late, twice or fenced changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from shared import errors
from shared.storage import retry
from shared.tasks import commits, record, transitions
from shared.tasks.record import Outcome, Task
from tests.unit.conftest import COST, LEASE, World

DONE = Outcome(status="succeeded", result='{"a":1}')
FAULT = {"code": "agent_error", "detail": "no"}


def money(task: Task) -> tuple[int, int, int]:
    """What it has in cents: budget, held, charged."""
    return task.budget // 10_000, task.held // 10_000, task.charged // 10_000


class TestCreate:
    def test_a_task_is_durable_with_its_budget_held(self, world: World) -> None:
        task, replayed = commits.create(world.services, world.order())
        assert not replayed
        assert world.task(task.id) == task
        assert (task.status, money(task)) == ("queued", (10, 10, 0))
        assert world.store.calls == Counter(commit=1, get=1)  # the read is this test's

    def test_the_same_key_is_the_same_task(self, world: World) -> None:
        first = world.queued(idempotencyKey="k")
        again, replayed = commits.create(world.services, world.order(idempotencyKey="k"))
        assert (again, replayed) == (world.task(first.id), True)

    def test_the_same_key_for_something_else_is_refused(self, world: World) -> None:
        first = world.queued(idempotencyKey="k")
        for other in ({"payload": 2}, {"budgetCents": 11}):
            with pytest.raises(errors.KeyReused, match="take a new key"):
                world.queued(idempotencyKey="k", **other)
        assert world.task(first.id) == first

    def test_a_new_deadline_or_trace_is_the_same_request(self, world: World) -> None:
        first = world.queued(idempotencyKey="k")
        assert world.queued(idempotencyKey="k", ttlSeconds=5, traceId="t").id == first.id

    def test_of_many_at_once_one_is_no_replay(self, world: World) -> None:
        orders = [world.order(idempotencyKey="k") for _ in range(20)]
        with ThreadPoolExecutor(20) as pool:
            made = list(pool.map(lambda order: commits.create(world.services, order), orders))
        assert [replayed for _, replayed in made].count(False) == 1
        assert len({task.id for task, _ in made}) == 1

    def test_a_lost_answer_is_no_replay(self, world: World) -> None:
        world.store.lost = errors.Conflict()
        task, replayed = commits.create(world.services, world.order(idempotencyKey="k"))
        assert (replayed, world.task(task.id)) == (False, task)

    def test_one_that_may_have_landed_is_a_replay_when_it_is_asked_for_again(
        self, world: World
    ) -> None:
        world.store.lost = errors.Unavailable()
        with pytest.raises(errors.Unavailable):
            world.queued(idempotencyKey="k")
        _, replayed = commits.create(world.services, world.order(idempotencyKey="k"))
        assert replayed


REFUSALS: dict[str, tuple[dict[str, Any], float, int, str, str]] = {
    "past its deadline": ({"ttlSeconds": 5}, 6, COST, "expired", "expired"),
    "beyond its budget": ({"budgetCents": 4.9999}, 0, COST, "failed", "budget_exceeded"),
}


class TestClaim:
    def test_an_attempt_is_charged_in_the_commit_that_begins_it_without_a_read(
        self, world: World
    ) -> None:
        told = world.told(world.queued())
        world.store.calls.clear()
        task = commits.claim(world.services, told, COST, LEASE)
        assert world.store.calls == {"commit": 1}
        stored = world.task(task.id)
        assert (stored.status, stored.attempts, money(stored)) == ("running", 1, (10, 10, 5))
        assert (task.version, task.attempts, task.charged) == (stored.version, 1, COST)
        assert stored.lease_until == stored.wake_at == world.clock.micros + int(LEASE * 1e6)
        assert stored.runs["1"] == {"startedAt": world.clock.micros, "charged": COST}

    def test_the_sweep_looks_at_a_running_task_no_later_than_its_deadline(
        self, world: World
    ) -> None:
        task = world.running(ttlSeconds=20)
        assert world.task(task.id).wake_at == task.deadline

    def test_a_second_delivery_finds_the_attempt_running(self, world: World) -> None:
        told = world.told(world.queued())
        commits.claim(world.services, told, COST, LEASE)
        with pytest.raises(errors.InProgress) as caught:
            commits.claim(world.services, told, COST, LEASE)
        assert caught.value.task.attempts == 1
        assert money(world.task(told.id)) == (10, 10, 5)

    def test_of_many_at_once_one_begins(self, world: World) -> None:
        told = world.told(world.queued())

        def claimed(_: int) -> bool:
            try:
                commits.claim(world.services, told, COST, LEASE)
            except errors.InProgress:
                return False
            return True

        with ThreadPoolExecutor(20) as pool:
            assert list(pool.map(claimed, range(20))).count(True) == 1
        assert (world.task(told.id).attempts, money(world.task(told.id))) == (1, (10, 10, 5))

    def test_a_lapsed_lease_lets_the_next_attempt_begin_and_it_is_charged_again(
        self, world: World
    ) -> None:
        told = world.told(world.queued(ttlSeconds=600))
        commits.claim(world.services, told, COST, LEASE)
        world.clock.forward(LEASE + 1)
        task = commits.claim(world.services, told, COST, LEASE)
        assert (task.attempts, money(world.task(task.id))) == (2, (10, 10, 10))

    def test_a_task_that_nobody_made_is_unknown(self, world: World) -> None:
        for version in (0, 17):
            ghost = replace(world.order(), version=version)
            with pytest.raises(errors.UnknownTask):
                commits.claim(world.services, ghost, COST, LEASE)

    @pytest.mark.parametrize(
        ("asked", "seconds", "cost", "status", "code"), REFUSALS.values(), ids=REFUSALS
    )
    def test_an_attempt_that_must_not_begin_is_refused_and_nothing_is_charged(
        self, world: World, asked: Any, seconds: float, cost: int, status: str, code: str
    ) -> None:
        queued = world.queued(**asked)
        world.clock.forward(seconds)
        with pytest.raises(transitions.Refused) as caught:
            commits.claim(world.services, world.told(queued), cost, LEASE)
        assert caught.value.outcome.status == status
        assert (caught.value.outcome.error or {})["code"] == code
        assert world.task(queued.id) == queued

    def test_a_refusal_names_what_is_missing(self, world: World) -> None:
        told = world.told(world.queued(budgetCents=7.5))
        with pytest.raises(transitions.Refused) as caught:
            commits.claim(world.services, told, 8 * 10_000, LEASE)
        error = caught.value.outcome.error or {}
        assert (error["limitCents"], error["spentCents"]) == (7.5, 0)

    def test_a_budget_that_just_suffices_suffices(self, world: World) -> None:
        task = world.running(budgetCents=5)
        assert money(world.task(task.id)) == (5, 5, 5)

    def test_after_the_last_attempt_no_other_begins(self, world: World) -> None:
        world.set(max_attempts=1)
        task = world.running(budgetCents=100, ttlSeconds=600)
        world.clock.forward(LEASE + 1)
        with pytest.raises(transitions.Refused) as caught:
            commits.claim(world.services, world.task(task.id), COST, LEASE)
        assert (caught.value.outcome.error or {})["code"] == "attempts_exhausted"

    @pytest.mark.parametrize("budget", [5, 10, 12.5, 24.9999])
    def test_all_attempts_together_never_cost_more_than_the_budget(
        self, world: World, budget: float
    ) -> None:
        task = world.running(budgetCents=budget, ttlSeconds=600)
        begun = 1
        with suppress(transitions.Refused):
            for _ in range(10):
                task = commits.release(world.services, task, FAULT)
                task = commits.claim(world.services, world.told(task), COST, LEASE)
                begun += 1
        assert begun == budget // 5
        stored = world.task(task.id)
        assert stored.budget - COST < stored.charged <= stored.budget
        assert stored.charged == stored.attempts * COST


class TestFinish:
    def test_the_end_turns_what_is_held_into_what_was_charged(self, world: World) -> None:
        task = world.running()
        world.store.calls.clear()
        world.clock.forward(1)
        ended = commits.finish(world.services, task, DONE)
        assert world.store.calls == {"commit": 1}
        stored = world.task(task.id)
        assert (stored.status, money(stored)) == ("succeeded", (10, 5, 5))
        assert (stored.result, stored.ended_at) == ('{"a":1}', world.clock.micros)
        assert (stored.wake_at, stored.lease_until, stored.open) == (None, None, False)
        assert stored.runs["1"]["endedAt"] == world.clock.micros
        assert stored.version == ended.version

    def test_an_owed_callback_keeps_it_due(self, world: World) -> None:
        world.set(callback_secrets=("whsec_" + "A" * 32,))
        task = world.running(callbackUrl="https://93.184.216.34/hook")
        ended = commits.finish(world.services, task, DONE)
        assert ended.owes_callback
        assert world.task(task.id).wake_at == world.clock.micros + 30_000_000

    def test_the_error_of_an_earlier_attempt_is_gone_from_a_success(self, world: World) -> None:
        """Whether the later attempt read the task or was told of it."""
        for known in (world.task, lambda task_id: world.told(world.task(task_id))):
            task = commits.release(world.services, world.running(), FAULT)
            task = commits.claim(world.services, known(task.id), COST, LEASE)
            ended = commits.settle(world.services, world.result(task, DONE), DONE)
            stored = world.task(ended.id)
            assert (stored.status, stored.error) == ("succeeded", None)
            assert stored.runs["1"]["error"] == FAULT

    def test_an_attempt_that_lost_its_task_changes_nothing(self, world: World) -> None:
        first = world.running(ttlSeconds=600)
        world.clock.forward(LEASE + 1)
        second = commits.claim(world.services, world.task(first.id), COST, LEASE)
        before = world.task(first.id)
        for late in (commits.finish, commits.release):
            with pytest.raises(errors.Fenced):
                late(world.services, first, DONE if late is commits.finish else FAULT)  # type: ignore[arg-type]
        assert world.task(first.id) == before
        assert commits.finish(world.services, second, DONE).status == "succeeded"

    def test_an_attempt_whose_task_went_back_to_the_queue_changes_nothing(
        self, world: World
    ) -> None:
        task = world.running()
        commits.release(world.services, task, FAULT)
        before = world.task(task.id)
        with pytest.raises(errors.Fenced):
            commits.finish(world.services, task, DONE)
        assert world.task(task.id) == before

    def test_of_many_ends_at_once_one_wins(self, world: World) -> None:
        task = world.running()

        def end(n: int) -> bool:
            try:
                if n % 2:
                    commits.cancel(world.services, task.id)
                else:
                    commits.finish(world.services, task, replace(DONE, result=str(n)))
            except errors.TaskEnded:
                return False
            return True

        with ThreadPoolExecutor(20) as pool:
            won = list(pool.map(end, range(20)))
        assert won.count(True) == 1
        winner = won.index(True)
        stored = world.task(task.id)
        assert stored.status == ("cancelled" if winner % 2 else "succeeded")
        assert stored.result == (None if winner % 2 else str(winner))


class TestRelease:
    def test_a_failed_attempt_puts_its_task_back_and_says_why(self, world: World) -> None:
        task = world.running(ttlSeconds=600)
        commits.release(world.services, task, FAULT)
        stored = world.task(task.id)
        assert (stored.status, stored.attempts, money(stored)) == ("queued", 1, (10, 10, 5))
        assert (stored.error, stored.runs["1"]["error"]) == (FAULT, FAULT)
        assert stored.lease_until is None
        assert (stored.wake_at or 0) > world.clock.micros

    def test_the_sweep_waits_longer_after_each_attempt_but_never_beyond_the_deadline(
        self, world: World
    ) -> None:
        task, pauses = world.running(budgetCents=100, ttlSeconds=86_400), []
        for _ in range(4):
            task = commits.release(world.services, task, FAULT)
            pauses.append(((task.wake_at or 0) - world.clock.micros) // 1_000_000)
            task = commits.claim(world.services, task, COST, LEASE)
        assert pauses == [60, 120, 240, 480]
        short = commits.release(world.services, world.running(ttlSeconds=20), FAULT)
        assert short.wake_at == short.deadline


class TestSettle:
    def test_a_result_settles_its_task_without_a_read(self, world: World) -> None:
        result = world.result(world.running(), DONE)
        world.store.calls.clear()
        task = commits.settle(world.services, result, DONE)
        assert world.store.calls == {"commit": 1}
        stored = world.task(task.id)
        assert (stored.status, stored.result, money(stored)) == ("succeeded", '{"a":1}', (10, 5, 5))

    def test_a_cost_of_the_whole_budget_settles_too(self, world: World) -> None:
        result = world.result(world.running(budgetCents=5), DONE)
        assert money(world.task(commits.settle(world.services, result, DONE).id)) == (5, 5, 5)

    def test_a_result_that_comes_twice_changes_nothing(self, world: World) -> None:
        result = world.result(world.running(), DONE)
        commits.settle(world.services, result, DONE)
        before = world.task(result["taskId"])
        with pytest.raises(errors.TaskEnded):
            commits.settle(world.services, result, DONE)
        assert world.task(result["taskId"]) == before

    def test_a_refusal_ends_a_queued_task_at_no_cost(self, world: World) -> None:
        refusal = Outcome(status="expired", error={"code": "expired", "detail": "late"})
        result = world.result(world.told(world.queued()), refusal)
        stored = world.task(commits.settle(world.services, result, refusal).id)
        assert (stored.status, stored.attempts, money(stored)) == ("expired", 0, (10, 0, 0))

    def test_a_refusal_that_comes_late_does_not_end_a_running_task(self, world: World) -> None:
        queued = world.told(world.queued())
        result = world.result(queued, Outcome(status="expired"))
        commits.claim(world.services, queued, COST, LEASE)
        with pytest.raises(errors.Fenced):
            commits.settle(world.services, result, Outcome(status="expired"))
        assert world.task(queued.id).status == "running"

    def test_a_version_that_is_stale_is_read_anew(self, world: World) -> None:
        task = world.running()
        result = world.result(task, DONE) | {"version": task.version - 1}
        assert commits.settle(world.services, result, DONE).status == "succeeded"

    def test_an_agent_that_speaks_only_the_messages_takes_part(self, world: World) -> None:
        task = world.queued()
        result = {"taskId": task.id, "costCents": 70_000}
        stored = world.task(commits.settle(world.services, result, DONE).id)
        assert (stored.status, stored.attempts, money(stored)) == ("succeeded", 1, (10, 7, 7))
        assert stored.runs["1"]["charged"] == 70_000

    def test_a_cost_beyond_the_budget_is_never_paid(self, world: World) -> None:
        task = world.queued()
        result = {"taskId": task.id, "costCents": 110_000}
        stored = world.task(commits.settle(world.services, result, DONE).id)
        assert (stored.status, (stored.error or {})["code"]) == ("failed", "budget_exceeded")
        assert stored.charged <= stored.budget

    def test_a_result_without_a_version_is_fenced_by_its_attempt(self, world: World) -> None:
        task = world.running(ttlSeconds=600)
        world.clock.forward(LEASE + 1)
        commits.claim(world.services, world.task(task.id), COST, LEASE)
        with pytest.raises(errors.Fenced):
            commits.settle(world.services, {"taskId": task.id, "attempt": 1}, DONE)
        settled = commits.settle(world.services, {"taskId": task.id, "attempt": 2}, DONE)
        assert settled.status == "succeeded"

    def test_a_result_of_no_task_is_unknown(self, world: World) -> None:
        with pytest.raises(errors.UnknownTask):
            commits.settle(world.services, {"taskId": "0" * 32}, DONE)


class TestCancel:
    def test_a_queued_task_costs_nothing(self, world: World) -> None:
        stored = world.task(commits.cancel(world.services, world.queued().id).id)
        assert (stored.status, stored.wake_at, money(stored)) == ("cancelled", None, (10, 0, 0))

    def test_a_running_one_keeps_its_charge_and_fences_its_attempt(self, world: World) -> None:
        task = world.running()
        stored = world.task(commits.cancel(world.services, task.id).id)
        assert (stored.status, money(stored)) == ("cancelled", (10, 5, 5))
        with pytest.raises(errors.TaskEnded):
            commits.finish(world.services, task, DONE)

    def test_it_wins_over_a_task_that_moves_meanwhile(self, world: World) -> None:
        told = world.told(world.queued())
        world.store.before = lambda: commits.claim(world.services, told, COST, LEASE)
        stored = world.task(commits.cancel(world.services, told.id).id)
        assert (stored.status, stored.attempts, money(stored)) == ("cancelled", 1, (10, 5, 5))

    def test_no_task_is_unknown(self, world: World) -> None:
        with pytest.raises(errors.UnknownTask):
            commits.cancel(world.services, "0" * 32)


LATE: dict[str, Callable[[World, Task, Task], object]] = {
    "a delivery": lambda world, told, _: commits.claim(world.services, told, COST, LEASE),
    "its attempt's end": lambda world, _, task: commits.finish(world.services, task, DONE),
    "its attempt's failure": lambda world, _, task: commits.release(world.services, task, FAULT),
    "its attempt's result": lambda world, _, task: commits.settle(
        world.services, world.result(task, DONE), DONE
    ),
    "a result of the bare task": lambda world, told, _: commits.settle(
        world.services, {"taskId": told.id}, DONE
    ),
    "a refusal": lambda world, told, _: commits.settle(
        world.services, world.result(told, Outcome(status="expired")), Outcome(status="expired")
    ),
    "a cancellation": lambda world, told, _: commits.cancel(world.services, told.id),
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
@pytest.mark.parametrize("status", record.TERMINAL)
def test_a_terminal_state_never_changes(
    world: World, status: record.Status, late: Callable[[World, Task, Task], object]
) -> None:
    told = world.told(world.queued())
    running = commits.claim(world.services, told, COST, LEASE)
    commits.finish(world.services, running, Outcome(status=status))
    before = world.task(told.id)
    with pytest.raises(errors.TaskEnded) as caught:
        late(world, told, running)
    assert world.task(told.id) == before == caught.value.task


MOVES: dict[str, Callable[[World], Callable[[], Task]]] = {
    "claim": lambda world: _later(
        lambda told: commits.claim(world.services, told, COST, LEASE), world.told(world.queued())
    ),
    "finish": lambda world: _later(
        lambda task: commits.finish(world.services, task, DONE), world.running()
    ),
    "release": lambda world: _later(
        lambda task: commits.release(world.services, task, FAULT), world.running()
    ),
    "settle": lambda world: _later(
        lambda result: commits.settle(world.services, result, DONE),
        world.result(world.running(), DONE),
    ),
    "cancel": lambda world: _later(
        lambda task: commits.cancel(world.services, task.id), world.running()
    ),
}


def _later(call: Callable[[Any], Task], argument: Any) -> Callable[[], Task]:
    """The call, with its argument made now."""
    return lambda: call(argument)


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
class TestAmbiguous:
    def test_a_commit_that_landed_though_it_says_it_conflicted_is_done_once(
        self, world: World, move: Callable[[World], Callable[[], Task]]
    ) -> None:
        call = move(world)
        world.store.lost = errors.Conflict()
        world.store.calls.clear()
        task = call()
        assert world.store.calls["commit"] == 1
        stored = world.task(task.id)
        assert (stored.version, stored.op) == (task.version, task.op)
        assert (stored.attempts, stored.charged) == (1, COST)

    def test_a_commit_that_landed_though_nobody_knows_is_not_done_again(
        self, world: World, move: Callable[[World], Callable[[], Task]]
    ) -> None:
        """The message comes again, and finds that it happened."""
        call = move(world)
        world.store.lost = errors.Unavailable()
        with pytest.raises(errors.Unavailable):
            call()
        with pytest.raises((errors.TaskEnded, errors.InProgress, errors.Fenced)):
            call()
        [document] = [world.task(each.id) for each in _all(world)]
        assert (document.attempts, document.charged) == (1, COST)

    def test_a_commit_that_lost_is_decided_anew(
        self, world: World, move: Callable[[World], Callable[[], Task]]
    ) -> None:
        """Another writer touches the task, without taking it, between decision and commit."""
        call = move(world)

        def touch() -> None:
            [document] = _all(world)
            task = world.task(document.id)
            commits.move(world.services, task, replace(task, wake_at=1))

        world.store.before = touch
        task = call()
        assert (task.attempts, task.charged) == (1, COST)
        assert world.task(task.id).version == task.version


def _all(world: World) -> list[Any]:
    from shared.storage.store import Query

    return world.store.query(Query(collection=record.COLLECTION))


def test_a_task_that_changes_all_the_time_is_given_up_for_now(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "PAUSE", 0)
    task = world.queued()

    class Restless:
        """Somebody else is always first."""

        def __getattr__(self, name: str) -> Any:
            return getattr(world.store, name)

        def commit(self, writes: Any) -> int:
            raise errors.Conflict

    world.services._makers = (lambda _: Restless(), world.services._makers[1])
    del world.services._made_store
    with pytest.raises(errors.Unavailable, match="too fast"):
        commits.cancel(world.services, task.id)
