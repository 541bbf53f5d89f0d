"""Scenarios: for every hop, a short story that the battery then interrupts at every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shared.clock import SECOND
from tests.chaos import steps
from tests.chaos.world import World

TRIES = 4  # of a client that gets no answer, or is told to ask again
ORDER = {"agent": "probe", "ttlSeconds": 900, "budgetCents": 20, "idempotencyKey": "one"}
TEAM = {**ORDER, "account": "team"}
WIDE = {**TEAM, "budgetCents": 60}
LIMIT = 100  # cents of the account `team`

Scenario = Callable[[World], None]
SCENARIOS: dict[str, Scenario] = {}


def scenario(story: Scenario) -> Scenario:
    """Adds it under its name, in words."""
    SCENARIOS[story.__name__.replace("_", " ")] = story
    return story


def ask(world: World, function: str, path: str, body: Any = None, **how: Any) -> Any:
    """The answer that a client gets who asks again until it has one; None if it gives up."""
    answer = None
    for _ in range(TRIES):
        answer = world.call(function, path, body, **how)
        if answer is not None and answer.status_code not in (409, 500, 503):
            break
        world.clock += SECOND
    return answer


def dispatch(world: World, order: dict[str, Any], do: str = "succeed", **how: Any) -> str:
    """The id of a task that is under way, as far as the client was told; else empty."""
    answer = ask(world, "dispatch", "/dispatch", {**order, "payload": {"do": do}}, **how)
    return answer.json["taskId"] if answer is not None and "taskId" in answer.json else ""


def account(world: World, cents: int = LIMIT) -> None:
    """Makes the account `team`, or changes its limit."""
    ask(world, "accounts", "/account/team", {"limitCents": cents}, method="PUT")


def until(actor: steps.Actor, world: World, kind: steps.Kind, count: int) -> None:
    """Lets it go on until it has taken `count` steps of that kind, and stands before its next."""
    planned = world.faults
    assert isinstance(planned, steps.Planned)
    begin = planned.kinds.count(kind)
    while not actor.done and planned.kinds.count(kind) < begin + count:
        actor.resume()


def deliver(world: World, topic: str) -> None:
    """Delivers what is under way on a topic."""
    for message in world.wire.on(topic):
        world.wire.deliver(message)


@scenario
def succeeds(world: World) -> None:
    dispatch(world, {**ORDER, "callbackUrl": "https://example.com/hook"})


@scenario
def succeeds_on_an_account(world: World) -> None:
    account(world)
    dispatch(world, TEAM)


@scenario
def succeeds_at_the_second_attempt(world: World) -> None:
    account(world)
    dispatch(world, TEAM, "stumble")


@scenario
def fails_every_attempt(world: World) -> None:
    dispatch(world, {**ORDER, "callbackUrl": "https://example.com/hook"}, "fail")


@scenario
def gives_up(world: World) -> None:
    account(world)
    dispatch(world, TEAM, "give up")


@scenario
def charges_as_it_works(world: World) -> None:
    account(world)
    dispatch(world, TEAM, "charge")


@scenario
def keeps_a_step(world: World) -> None:
    dispatch(world, ORDER, "step")


@scenario
def has_it_done_by_another(world: World) -> None:
    account(world)
    dispatch(world, TEAM, "call")


@scenario
def has_it_done_by_two_of_whom_one_fails(world: World) -> None:
    dispatch(world, ORDER, "gather")


@scenario
def keeps_a_step_that_cost_less(world: World) -> None:
    dispatch(world, ORDER, "settle")


@scenario
def has_it_done_by_one_who_has_it_done_by_two(world: World) -> None:
    account(world)
    dispatch(world, WIDE, "nest")


@scenario
def is_cancelled_above_a_tree_at_work(world: World) -> None:
    account(world)
    id_ = dispatch(world, WIDE, "nest")
    deliver(world, "tasks")
    deliver(world, "tasks")
    if id_:
        ask(world, "cancel_task", f"/task/{id_}/cancel")


@scenario
def has_its_child_cancelled_above_others_at_work(world: World) -> None:
    account(world)
    dispatch(world, WIDE, "nest")
    deliver(world, "tasks")
    deliver(world, "tasks")
    for id_ in [task.id for task in world.watch.tasks.values() if task.depth == 1]:
        ask(world, "cancel_task", f"/task/{id_}/cancel")


@scenario
def expires_above_a_tree_at_work(world: World) -> None:
    account(world)
    dispatch(world, {**WIDE, "ttlSeconds": 40}, "nest")
    deliver(world, "tasks")
    deliver(world, "tasks")
    world.clock += 41 * SECOND


@scenario
def is_cancelled_with_its_children_at_work(world: World) -> None:
    account(world)
    id_ = dispatch(world, TEAM, "gather")
    deliver(world, "tasks")
    for message in world.wire.on("tasks")[:1]:
        attempt = world.wire.push(message)
        until(attempt, world, "commit", 1)
        ask(world, "cancel_task", f"/task/{id_}/cancel")
        world.wire.settle(message, attempt.finish())


@scenario
def is_delivered_again_as_its_deadline_passes_with_a_child_at_work(world: World) -> None:
    account(world)
    dispatch(world, {**TEAM, "ttlSeconds": 20}, "call")
    for message in world.wire.on("tasks"):
        world.wire.push(message).finish()
        again = world.wire.push(message, process="agent_too")
        until(again, world, "commit", 1)
        world.clock += 25 * SECOND
        world.wire.settle(message, again.finish())
        deliver(world, "results")


@scenario
def dies_as_it_calls_another(world: World) -> None:
    dispatch(world, ORDER, "call")
    for message in world.wire.on("tasks"):
        attempt = world.wire.push(message)
        until(attempt, world, "work", 1)
        _fault(world, "crash after")
        world.wire.settle(message, attempt.finish())


@scenario
def goes_on_later(world: World) -> None:
    account(world)
    dispatch(world, TEAM, "later")


@scenario
def cannot_pay_its_first_attempt(world: World) -> None:
    account(world)
    dispatch(world, {**TEAM, "budgetCents": 3})


@scenario
def cannot_pay_its_second_attempt(world: World) -> None:
    dispatch(world, {**ORDER, "budgetCents": 7}, "stumble")


@scenario
def expires_in_the_queue(world: World) -> None:
    account(world)
    dispatch(world, {**TEAM, "ttlSeconds": 20})
    world.clock += 25 * SECOND


@scenario
def is_cancelled_in_the_queue(world: World) -> None:
    account(world)
    if id_ := dispatch(world, TEAM):
        ask(world, "cancel_task", f"/task/{id_}/cancel")


@scenario
def is_cancelled_at_work(world: World) -> None:
    account(world)
    id_ = dispatch(world, TEAM)
    for message in world.wire.on("tasks"):
        attempt = world.wire.push(message)
        until(attempt, world, "commit", 1)
        ask(world, "cancel_task", f"/task/{id_}/cancel")
        world.wire.settle(message, attempt.finish())


@scenario
def outlives_its_lease_and_comes_back(world: World) -> None:
    account(world)
    dispatch(world, TEAM)
    for message in world.wire.on("tasks"):
        frozen = world.wire.push(message, process="agent_frozen")
        until(frozen, world, "commit", 1)
        world.clock += 61 * SECOND
        ask(world, "sweep", "/", world.wire.post("ticks", {}).envelope())
        deliver(world, "tasks")
        deliver(world, "results")
        world.wire.settle(message, frozen.finish())


@scenario
def comes_back_while_the_next_attempt_is_at_work(world: World) -> None:
    account(world)
    dispatch(world, TEAM)
    for message in world.wire.on("tasks"):
        frozen = world.wire.push(message, process="agent_frozen")
        until(frozen, world, "commit", 1)
        world.clock += 61 * SECOND
        world.wire.drop(message)
        ask(world, "sweep", "/", world.wire.post("ticks", {}).envelope())
        second = [world.wire.push(again) for again in world.wire.on("tasks")]
        for actor in second:
            until(actor, world, "commit", 1)
        frozen.finish()
        deliver(world, "results")
        for actor in second:
            actor.finish()


@scenario
def is_claimed_before_the_sweep_that_sent_it_is_done(world: World) -> None:
    account(world)
    dispatch(world, TEAM)
    for message in world.wire.on("tasks"):
        frozen = world.wire.push(message, process="agent_frozen")
        until(frozen, world, "commit", 1)
        world.clock += 61 * SECOND
        world.wire.drop(message)
        sweep = world.wire.push(world.wire.post("ticks", {}), process="slow_sweep")
        until(sweep, world, "publish", 1)
        deliver(world, "tasks")
        sweep.finish()
        deliver(world, "results")
        frozen.finish()


@scenario
def fails_after_the_next_attempt_has_begun(world: World) -> None:
    dispatch(world, ORDER, "stumble")
    for message in world.wire.on("tasks"):
        frozen = world.wire.push(message, process="agent_frozen")
        until(frozen, world, "commit", 1)
        world.clock += 61 * SECOND
        second = world.wire.push(message)
        until(second, world, "commit", 2)
        frozen.finish()
        world.wire.settle(message, second.finish())


@scenario
def outlives_its_deadline(world: World) -> None:
    dispatch(world, {**ORDER, "ttlSeconds": 40})
    for message in world.wire.on("tasks"):
        frozen = world.wire.push(message, process="agent_frozen")
        until(frozen, world, "commit", 1)
        world.clock += 41 * SECOND
        ask(world, "sweep", "/", world.wire.post("ticks", {}).envelope())
        world.wire.settle(message, frozen.finish())


@scenario
def is_redriven(world: World) -> None:
    account(world)
    id_ = dispatch(world, TEAM, "give up")
    world.drain()
    if id_:
        ask(world, "dispatch", f"/task/{id_}/redrive", {"budgetCents": 30})
        ask(world, "dispatch", f"/task/{id_}/redrive", {"budgetCents": 30}, process="other")


@scenario
def its_messages_die(world: World) -> None:
    account(world)
    dispatch(world, TEAM)
    for topic in ("tasks", "results"):
        for message in world.wire.on(topic):
            world.wire.kill(message)
        deliver(world, "dead")
        deliver(world, topic)


@scenario
def dies_past_its_deadline(world: World) -> None:
    account(world)
    dispatch(world, {**TEAM, "ttlSeconds": 20})
    world.clock += 25 * SECOND
    for message in world.wire.on("tasks"):
        world.wire.kill(message)


@scenario
def comes_too_late_for_its_purse(world: World) -> None:
    account(world)
    _late(world, world.start("dispatch", "/dispatch", {**TEAM, "payload": {}})).finish()


@scenario
def comes_too_late_with_the_account_used_up(world: World) -> None:
    account(world, 40)
    order = {**TEAM, "budgetCents": 40, "payload": {}}
    _late(world, world.start("dispatch", "/dispatch", order)).finish()
    dispatch(world, {**TEAM, "idempotencyKey": "two"}, process="other")


@scenario
def is_late_and_moved_by_the_sweep_meanwhile(world: World) -> None:
    account(world)
    asked = _late(world, world.start("dispatch", "/dispatch", {**TEAM, "payload": {}}), commits=2)
    ask(world, "sweep", "/", world.wire.post("ticks", {}).envelope())
    for message in world.wire.on("tasks"):
        attempt = world.wire.push(message)
        until(attempt, world, "commit", 1)
        asked.finish()
        deliver(world, "tasks")
        world.wire.settle(message, attempt.finish())


@scenario
def is_late_twice(world: World) -> None:
    account(world)
    asked = _late(world, world.start("dispatch", "/dispatch", {**TEAM, "payload": {}}), commits=2)
    message = world.wire.post("ticks", {})
    sweep = world.wire.push(message, process="slow_sweep")
    until(sweep, world, "commit", 1)
    world.clock += 61 * SECOND
    sweep.resume()
    asked.finish()
    deliver(world, "tasks")
    world.wire.settle(message, sweep.finish())


@scenario
def is_sent_to_the_store_twice_and_moved_in_between(world: World) -> None:
    account(world)
    asked = world.start("dispatch", "/dispatch", {**TEAM, "payload": {}})
    until(asked, world, "commit", 1)
    _repeated(world, asked)
    dispatch(world, {**TEAM, "idempotencyKey": "two"})


@scenario
def joins_its_purse_while_an_older_one_is_settled(world: World) -> None:
    account(world)
    dispatch(world, TEAM)
    world.clock += 40 * SECOND
    order = {**TEAM, "idempotencyKey": "two", "payload": {}}
    asked = world.start("dispatch", "/dispatch", order, process="other")
    until(asked, world, "commit", 1)
    world.clock += 21 * SECOND
    ask(world, "sweep", "/", world.wire.post("ticks", {}).envelope())
    asked.finish()


@scenario
def names_its_purse_while_that_is_closed(world: World) -> None:
    account(world)
    asked = world.start("dispatch", "/dispatch", {**TEAM, "payload": {}})
    until(asked, world, "commit", 1)
    world.clock += 61 * SECOND
    slow = world.wire.push(world.wire.post("ticks", {}), process="slow_sweep")
    until(slow, world, "read", 3)
    until(asked, world, "commit", 1)
    slow.finish()
    asked.finish()


@scenario
def is_in_a_purse_that_two_sweeps_settle(world: World) -> None:
    account(world)
    dispatch(world, TEAM)
    deliver(world, "tasks")
    deliver(world, "results")
    world.clock += 31 * SECOND
    dispatch(world, {**TEAM, "idempotencyKey": "two"}, process="other")
    world.clock += 30 * SECOND
    slow = world.wire.push(world.wire.post("ticks", {}), process="slow_sweep")
    until(slow, world, "read", 5)  # the due tasks, the due ledgers, both sums, the ledger anew
    ask(world, "sweep", "/", world.wire.post("ticks", {}).envelope())
    world.clock += 31 * SECOND  # the other purse is due, so the ledger is
    slow.finish()


@scenario
def opens_a_purse_again_that_a_slow_sweep_takes_for_the_old_one(world: World) -> None:
    account(world)
    asked = world.start("dispatch", "/dispatch", {**TEAM, "payload": {}})
    until(asked, world, "read", 2)
    _fault(world, "repeated")
    until(asked, world, "commit", 1)
    world.clock += 31 * SECOND
    dispatch(world, {**TEAM, "idempotencyKey": "two"}, process="other")
    world.clock += 30 * SECOND
    slow = world.wire.push(world.wire.post("ticks", {}), process="slow_sweep")
    until(slow, world, "read", 4)
    ask(world, "sweep", "/", world.wire.post("ticks", {}).envelope())
    asked.finish()
    world.clock += 31 * SECOND  # the other purse is due, so the ledger is
    slow.finish()


@scenario
def is_redriven_by_a_commit_that_is_sent_twice(world: World) -> None:
    account(world)
    id_ = dispatch(world, TEAM, "give up")
    world.drain()
    asked = world.start("dispatch", f"/task/{id_}/redrive", {})
    until(asked, world, "commit", 1)
    _repeated(world, asked)
    dispatch(world, {**TEAM, "idempotencyKey": "two"})


@scenario
def is_asked_for_twice_at_once(world: World) -> None:
    account(world)
    first = world.start("dispatch", "/dispatch", {**TEAM, "payload": {}})
    until(first, world, "commit", 1)
    ask(world, "dispatch", "/dispatch", {**TEAM, "payload": {}}, process="other")
    first.finish()


@scenario
def is_run_over_http(world: World) -> None:
    account(world)
    dispatch(world, {**TEAM, "mode": "http"})


@scenario
def is_run_without_a_dispatch(world: World) -> None:
    account(world)
    ask(world, "agent_probe", "/run", {**TEAM, "payload": {}})


@scenario
def is_run_too_late_for_its_purse(world: World) -> None:
    account(world)
    _late(world, world.start("agent_probe", "/run", {**TEAM, "payload": {}})).finish()
    ask(world, "agent_probe", "/run", {**TEAM, "payload": {}}, process="other")


@scenario
def comes_as_a_bare_message(world: World) -> None:
    world.wire.post("tasks", {"msg": "hi"})


@scenario
def comes_as_a_message_on_an_account(world: World) -> None:
    account(world)
    world.wire.post("tasks", {"payload": {}, "account": "team", "budgetCents": 20})


@scenario
def is_done_by_an_agent_that_claims_nothing(world: World) -> None:
    account(world)
    id_ = dispatch(world, TEAM)
    for message in world.wire.on("tasks"):
        world.wire.drop(message)
        told = {"taskId": id_, "attempt": 1, "status": "succeeded", "result": 1, "costCents": 7}
        world.wire.post("results", told)
        world.wire.post("results", told)


@scenario
def claims_more_than_its_budget(world: World) -> None:
    account(world)
    if id_ := dispatch(world, TEAM):
        told = {"taskId": id_, "attempt": 1, "status": "succeeded", "result": 1, "costCents": 21}
        world.wire.post("results", told)
        deliver(world, "results")


@scenario
def sees_its_account_cut(world: World) -> None:
    account(world)
    dispatch(world, TEAM)
    account(world, 10)
    dispatch(world, {**TEAM, "idempotencyKey": "two"})
    account(world, LIMIT)


def _repeated(world: World, asked: steps.Actor) -> None:
    """Its next commit lands, is sent again, and before its process looks the sweep moves the task.

    The client library does so where an answer is lost.
    """
    _fault(world, "repeated")
    until(asked, world, "commit", 1)
    world.clock += 31 * SECOND
    ask(world, "sweep", "/", world.wire.post("ticks", {}).envelope())
    asked.finish()


def _fault(world: World, fault: steps.Fault) -> None:
    """Lets the next step go wrong, unless the schedule wants it otherwise."""
    planned = world.faults
    assert isinstance(planned, steps.Planned)
    planned.faults = {len(planned.kinds): fault, **planned.faults}


def _late(world: World, asked: steps.Actor, commits: int = 0) -> steps.Actor:
    """The purse is open, then the process stands still until long after its expiry.

    Then it goes on for a number of commits: the first creates the task, the second opens a purse.
    """
    until(asked, world, "commit", 1)
    world.clock += 61 * SECOND
    ask(world, "sweep", "/", world.wire.post("ticks", {}).envelope())
    if commits:
        until(asked, world, "commit", commits)
    return asked
