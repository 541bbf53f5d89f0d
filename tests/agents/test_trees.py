"""Trees of tasks: one budget, carved and given back to the micro, whatever happens."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared import agent, children, errors, redrives
from shared.children import Call
from shared.context import Context
from shared.storage import shards
from shared.storage.store import Store, Write
from shared.tasks import commits
from shared.tasks.record import Outcome
from tests.agents import trees
from tests.agents.world import HOURS, Killed, World, world

CENT = 10_000  # micros


def agent_leaf(payload: Any, context: Context) -> Any:
    context.charge(payload)
    return payload


def agent_pair(payload: Any, context: Context) -> Any:
    context.step("own", lambda: None, cost=1)
    return sum(context.gather([Call("leaf", payload, 5), Call("leaf", payload, 5)]))


def agent_top(payload: Any, context: Context) -> Any:
    context.step("own", lambda: None, cost=1)
    return context.call("pair", payload, budgetCents=20)


def check(made: World, task_id: str) -> None:
    """No task of the tree breaks a rule."""
    for task in made.tree(made.task(task_id)):
        assert not list(trees.problems(task, made.task)), task


def test_what_children_do_not_use_comes_back_to_the_micro(tmp_path: Path) -> None:
    with world(tmp_path, agent_leaf, agent_pair, agent_top) as made:
        task = made.settle(made.dispatch("top", 1.2345))
        assert (task.result, task.charged) == ("2.469", 2 * CENT + 2 * 12_345)
        check(made, task.id)
        assert {each.trace_id for each in made.tree(task)} == {task.trace_id}


def test_every_task_of_a_tree_has_its_shard(tmp_path: Path) -> None:
    with world(tmp_path, agent_leaf, agent_pair, agent_top) as made:
        task = made.settle(made.dispatch("top", 1))
        stored = [made.store.get(each.path) for each in made.tree(task)]
        assert [each.data["shard"] for each in stored] == [shards.of(each.id) for each in stored]
        assert len(stored) == 4


def test_a_waiting_parent_is_in_no_process_and_its_child_ends_before_its_deadline(
    tmp_path: Path,
) -> None:
    with world(tmp_path, agent_leaf, agent_pair, agent_top) as made:
        task_id = made.dispatch("top", 1, ttl=50)
        made.deliver()  # each agent's function has returned
        top = made.task(task_id)
        assert (top.status, top.lease_until, top.charged) == ("waiting", None, 21 * CENT)
        [pair] = made.children(top).values()
        assert (pair.deadline, pair.budget) == (top.deadline, 20 * CENT)


@pytest.mark.parametrize("how", ["cancelled", "expired"])
@pytest.mark.parametrize("rounds", [1, 2, 3], ids=["child", "grandchildren", "running"])
def test_the_end_of_a_tree_goes_down_it_and_gives_every_micro_back(
    tmp_path: Path, how: str, rounds: int
) -> None:
    with world(tmp_path, agent_leaf, agent_pair, agent_top) as made:
        task_id = made.dispatch("top", 1, ttl=HOURS)
        for _ in range(rounds):
            made.deliver()
        spent = 0 if rounds == 0 else 1 if rounds == 1 else 2 if rounds == 2 else 4
        if how == "cancelled":
            made.cancel(task_id)
        else:
            made.pass_time(HOURS)
            made.sweep()
        task = made.settle(task_id)
        assert (task.status, task.charged, task.held) == (how, spent * CENT, spent * CENT)
        assert all(each.terminal and not each.open for each in made.tree(task))
        check(made, task_id)


def test_a_cancelled_child_counts_once_its_own_children_are_closed(tmp_path: Path) -> None:
    with world(tmp_path, agent_leaf, agent_pair, agent_top) as made:
        task_id = made.dispatch("top", 1)
        made.deliver()
        made.deliver()
        [pair] = made.children(made.task(task_id)).values()
        assert (pair.status, pair.pending) == ("waiting", 2)
        commits.cancel(made.services, pair.id)  # and the process dies: nobody is told
        top = made.task(task_id)
        assert (top.status, top.charged) == ("waiting", 21 * CENT)
        check(made, task_id)
        top = made.settle(task_id)
        assert (top.status, (top.error or {})["code"]) == ("failed", "child_failed")
        assert top.charged == sum(trees.own(each, made.task) for each in made.tree(top))
        assert top.charged < 21 * CENT
        check(made, task_id)


def test_a_stray_message_after_the_deadline_leaves_a_waiting_parent_to_the_sweep(
    tmp_path: Path,
) -> None:
    with world(tmp_path, agent_leaf, agent_pair) as made:
        task_id = made.dispatch("pair", 1, ttl=60)
        [first] = made.queue.pull("sub-pair", 1, 0)
        made.push("sub-pair", first)
        made.store.before = lambda _: made.pass_time(61)  # while a second attempt tries to begin
        made.push("sub-pair", first)
        made.store.before = lambda _: None
        made.deliver()
        check(made, task_id)
        assert made.settle(task_id).status == "expired"
        check(made, task_id)
        assert made.task(task_id).charged == CENT


def test_a_callback_waits_until_the_last_child_has_told_its_cost(tmp_path: Path) -> None:
    with world(tmp_path, agent_leaf, agent_pair) as made:
        task_id = made.dispatch("pair", 1)
        made.deliver()
        owing = made.task(task_id)
        commits.move(made.services, owing, replace(owing, callback_url="https://example.com/hook"))
        commits.cancel(made.services, task_id)
        assert made.published["callbacks"] == 0
        made.pass_time(90)
        made.sweep()
        assert (made.task(task_id).open, made.published["callbacks"]) == (False, 1)
        assert made.task(task_id).owes_callback
        assert made.task(task_id).wake_at


def test_a_child_is_not_redriven_for_its_money_was_its_parents(tmp_path: Path) -> None:
    def agent_failing(payload: Any, context: Context) -> Any:
        raise agent.Failure("no")

    def agent_caller(payload: Any, context: Context) -> Any:
        return context.call("failing", 1, budgetCents=1)

    with world(tmp_path, agent_failing, agent_caller) as made:
        task = made.settle(made.dispatch("caller"))
        [child] = made.children(task).values()
        with pytest.raises(errors.NotRedrivable, match=task.id):
            redrives.redrive(made.services, child.id, {})


def test_gather_can_hand_out_the_failures_beside_the_results(tmp_path: Path) -> None:
    def agent_fussy(payload: Any, context: Context) -> Any:
        if payload < 0:
            raise agent.Failure("negative", code="negative")
        return payload

    def agent_caller(payload: Any, context: Context) -> Any:
        calls = [Call("fussy", number, 1) for number in (1, -1, 2)]
        found = context.gather(calls, return_exceptions=True)
        return [each.task.error if isinstance(each, children.Failed) else each for each in found]

    with world(tmp_path, agent_fussy, agent_caller) as made:
        task = made.settle(made.dispatch("caller"))
        assert task.result == '[1,{"code":"negative","detail":"negative"},2]'


def test_a_result_that_does_not_name_its_parent_is_settled_by_a_read(tmp_path: Path) -> None:
    """An agent in another language may echo all but that."""
    with world(tmp_path, agent_leaf, agent_pair) as made:
        task_id = made.dispatch("pair", 1)
        made.deliver()
        for child in made.children(made.task(task_id)).values():
            said = {"version": child.version, "attempt": 1, "costCents": 1, "budgetCents": 5}
            outcome = Outcome(status="succeeded", result="1")
            commits.settle(made.services, {"taskId": child.id, **said}, outcome)
        assert made.task(task_id).status == "queued"
        check(made, task_id)


def test_a_result_that_names_a_parent_which_did_not_call_it_moves_no_money(
    tmp_path: Path,
) -> None:
    with world(tmp_path, agent_leaf, agent_pair) as made:
        task_id, other = (made.dispatch("pair", 1) for _ in range(2))
        made.deliver()
        for child in made.children(made.task(task_id)).values():
            lie = {"parent": other, "parentKey": child.parent_key, "costCents": 0}
            known = {"version": child.version, "attempt": 1, "budgetCents": 5}
            outcome = Outcome(status="succeeded", result="1")
            with pytest.raises(errors.Invalid, match="parentKey"):
                commits.settle(made.services, {"taskId": child.id, **known, **lie}, outcome)
        for each in (task_id, other):
            check(made, each)
            assert made.settle(each).charged == 3 * CENT


def test_a_run_that_is_asked_for_again_while_it_waits_answers_as_it_did_at_first(
    tmp_path: Path,
) -> None:
    with world(tmp_path, agent_leaf, agent_pair) as made:
        first, again = made.run("pair", 1, "key"), made.run("pair", 1, "key")
        for answer in (first, again):
            assert (answer.status_code, answer.json["status"]) == (202, "waiting")
        assert again.headers["Idempotent-Replayed"] == "true"
        made.settle(first.json["taskId"])
        ended = made.run("pair", 1, "key")
        assert (ended.status_code, ended.json["result"], ended.json["costCents"]) == (200, 2, 3)


def test_each_child_takes_few_commits_reads_and_publishes(tmp_path: Path) -> None:
    def agent_parent(payload: Any, context: Context) -> Any:
        return len(context.gather([Call("child", 1, 1)] * payload))

    def agent_child(payload: Any, context: Context) -> Any:
        return payload

    def cost(count: int) -> Counter[str]:
        with world(tmp_path / str(count), agent_parent, agent_child) as made:
            made.settle(made.dispatch("parent", count))
            return made.store.counts + Counter(
                {topic: made.published[topic] for topic in ("tasks", "results")}
            )

    one, eleven = cost(1), cost(11)
    each = {name: (eleven[name] - one[name]) / 10 for name in eleven | one}
    # Its claim and its end; the parent's suspension creates it, its end writes the parent too.
    assert each == {"commit": 2, "write": 4, "get": 2, "tasks": 1, "results": 1}
    # dispatch, claim, suspension, claim, end; and the read of what the first attempt left.
    assert one - Counter(each) == {"commit": 5, "write": 5, "get": 1, "tasks": 2, "results": 1}


def test_a_hundred_children_that_end_at_once_and_twice_are_each_counted_once(
    tmp_path: Path, store: Store
) -> None:
    def agent_wide(payload: Any, context: Context) -> Any:
        return sum(context.gather([Call("leaf", 0.5, 1) for _ in range(payload)]))

    with world(tmp_path, agent_leaf, agent_wide, store=store) as made:
        made.duplicate, made.concurrency = 1.0, 100
        task = made.settle(made.dispatch("wide", 100, cents=100))
        assert (task.result, task.charged) == ("50.0", 50 * CENT)
        check(made, task.id)


@pytest.mark.parametrize(
    ("store", "seed"),
    [
        ("embedded", 1),
        pytest.param("embedded", 2, marks=pytest.mark.slow),
        pytest.param("google", 3, marks=[pytest.mark.google, pytest.mark.slow]),
    ],
    indirect=["store"],
)
def test_a_tree_of_three_levels_by_twenty_under_one_budget_with_kills_and_duplicates(
    tmp_path: Path, store: Store, seed: int
) -> None:
    storm = Storm(seed)
    agents = storm.agent_leaf, storm.agent_middle, storm.agent_root
    with world(tmp_path, *agents, store=store, environ={"MAX_ATTEMPTS": "20"}) as made:
        storm.break_loose(made)
        task_id = made.dispatch("root", cents=2000, ttl=24 * HOURS)
        task = made.settle(task_id, rounds=200)
        storm.calm(made)
        assert not storm.problems
        everyone = list(made.tree(task))
        assert all(each.terminal and not each.open for each in everyone)
        assert len(everyone) == 1 + 20 + 20 * 20
        assert storm.kills > 20
        assert task.charged == sum(trees.own(each, made.task) for each in everyone)
        # Whatever was paid for was charged; what was charged and not paid for died in between.
        assert storm.paid <= task.charged <= storm.charged
        check(made, task_id)


class Storm:
    """Agents that are killed, delivered twice and outlive their leases; and who watches."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.lock = threading.RLock()
        self.problems: list[str] = []
        self.kills = 0
        self.paid = 0  # micros that providers have seen
        self.charged = 0  # micros that charges were answered for, or died with

    def agent_leaf(self, payload: Any, context: Context) -> Any:
        charge = context.charge(2)
        self.note(charged=2 * CENT)
        if self.strikes(0.02):
            self.made.pass_time(61)  # a slow one: its lease lapses
            self.made.sweep()
        self.note(paid=CENT)
        context.settle(charge, 1)
        self.note(charged=-CENT)
        if self.strikes(0.05):
            raise agent.Failure("no luck")
        return payload

    def agent_middle(self, payload: Any, context: Context) -> Any:
        context.step("plan", self.plan, cost=3)
        calls = [Call("leaf", number, 4) for number in range(20)]
        found = context.gather(calls, return_exceptions=True)
        return sum(not isinstance(each, children.Failed) for each in found)

    def agent_root(self, payload: Any, context: Context) -> Any:
        calls = [Call("middle", number, 90) for number in range(20)]
        found = context.gather(calls, return_exceptions=True)
        return [None if isinstance(each, children.Failed) else each for each in found]

    def plan(self) -> str:
        self.note(paid=3 * CENT, charged=3 * CENT)
        return "plan"

    def note(self, *, paid: int = 0, charged: int = 0) -> None:
        with self.lock:
            self.paid += paid
            self.charged += charged

    def strikes(self, chance: float) -> bool:
        with self.lock:
            return self.made.random.random() < chance

    def break_loose(self, made: World) -> None:
        self.made = made
        made.random.seed(self.seed)
        made.duplicate, made.concurrency = 0.2, 4
        made.store.before, made.store.after = self.before, self.after
        inner = made.store.inner.commit

        def alone(writes: Sequence[Write]) -> int:
            with self.lock:  # what a commit left is looked at before the next one
                version = inner(writes)
                self.watch(writes)
                return version

        made.store.inner.commit = alone  # type: ignore[method-assign]

    def calm(self, made: World) -> None:
        made.store.before, made.store.after = (lambda _: None), (lambda *_: None)

    def before(self, writes: Sequence[Write]) -> None:
        self.maybe_kill(writes)

    def after(self, writes: Sequence[Write], version: int) -> None:
        self.maybe_kill(writes)

    def maybe_kill(self, writes: Sequence[Write]) -> None:
        if self.strikes(0.03):
            with self.lock:
                self.kills += 1
                self.charged += 3 * CENT  # a charge may have died with it
            raise Killed

    def watch(self, writes: Sequence[Write]) -> None:
        for write in writes:
            task = self.made.task(write.path.partition("/")[2])
            self.problems += trees.problems(task, self.made.task)
