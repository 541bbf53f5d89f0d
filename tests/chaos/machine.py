"""The state machine: hypothesis plays any rules in any order, on the model and on the real code."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

from hypothesis import HealthCheck, Phase, seed as seeded, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared import clock
from shared.tasks import record
from tests.chaos import auditor, report, steps
from tests.chaos.model import CENT, Known, Model, Result, State
from tests.chaos.wire import Message
from tests.chaos.world import World

FAULTS = (*steps.CRASHES, *steps.ERRORS["commit"])
fault = st.none() | st.tuples(st.integers(0, 12), st.sampled_from(FAULTS))
STEPS = 40  # rules a sequence
EXAMPLES = {"brief": 20, "short": 40, "full": 2_000}  # sequences
process = st.sampled_from(["dispatch", "another"])
CLOCKS = ("dispatch", "another", "agent_probe", "results", "sweep", "sweep too", "dead_letter")
jump = st.none() | st.tuples(st.sampled_from(CLOCKS), st.sampled_from([-300, -40, -3, 0, 3, 40]))
pick = st.integers(0, 99)
Fault = tuple[int, steps.Fault] | None
Paths = dict[str, list[State]]  # by task: where it may be now; undisturbed: at the last


class Machine(RuleBasedStateMachine):
    """Whatever happens, the real tasks are where the model says."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.world = self.stack.enter_context(World().entered())
        self.frozen: list[tuple[steps.Actor, Message, str, State]] = []

    @initialize(limit=st.integers(10, 120))
    def begins(self, limit: int) -> None:
        """An account, and nothing else."""
        self.model = Model(limit)
        self.limits(limit)

    @rule(limit=st.integers(0, 150))
    def limits(self, limit: int) -> None:
        """The account's limit changes."""
        self.model.limit = limit
        body = {"limitCents": limit}
        answer = self.world.call("accounts", "/account/team", body, method="PUT")
        assert answer.status_code == 200, answer.data

    @rule(
        key=st.sampled_from("abcdef"),
        do=st.sampled_from(["succeed", "stumble", "give up", "fail"]),
        budget=st.sampled_from([3, 10, 20]),
        ttl=st.sampled_from([20, 90, 400]),
        on_account=st.booleans(),
        process=process,
        fault=fault,
    )
    def dispatches(
        self,
        key: str,
        do: str,
        budget: int,
        ttl: int,
        on_account: bool,
        process: str,
        fault: Fault,
    ) -> None:
        """A client asks, perhaps again, perhaps for something else with the same key."""
        expected = self.model.dispatch(key, do, budget, on_account)
        order = {
            "agent": "probe",
            "payload": {"do": do},
            "budgetCents": budget,
            "ttlSeconds": ttl,
            "idempotencyKey": key,
            **({"account": "team"} if on_account else {}),
        }
        payable = self._payable(budget)
        answer = self._played(
            fault, lambda: self.world.call("dispatch", "/dispatch", order, process=process)
        )
        id_ = record.keyed_id("", "probe", key)
        if key not in self.model.keys and f"tasks/{id_}" in self.world.watch.tasks:
            self.model.keys[key] = id_
            self._learn(id_, do)
        if fault is None:
            if expected is None:
                assert answer.status_code in payable, answer.data
            else:
                assert answer.status_code == expected, answer.data
        self._compare({}, fault)

    @precondition(lambda self: self.world.wire.messages)
    @rule(pick=pick, fault=fault, keep=st.booleans())
    def delivers(self, pick: int, fault: Fault, keep: bool) -> None:
        """Any message, in any order; where it is kept, it comes again."""
        message = self._message(pick)
        paths = self._paths(message)
        answer = self._played(fault, lambda: self.world.wire.push(message).finish())
        if not keep:
            self.world.wire.settle(message, answer)
        self._compare(paths, fault)

    @precondition(lambda self: self.world.wire.on("tasks") and len(self.frozen) < 3)
    @rule(pick=pick)
    def freezes(self, pick: int) -> None:
        """An agent stands still in the middle of its work."""
        waiting = self.world.wire.on("tasks")
        message, worked_on = waiting[pick % len(waiting)], len(self.world.watch.worked_on)
        id_ = json.loads(message.data)["taskId"]
        path = self.model.delivered(id_, self.world.clock)  # a new process, its clock is right
        actor = self.world.wire.push(message, process=f"frozen-{self.world.new_id()}")
        while not actor.done and len(self.world.watch.worked_on) == worked_on:
            actor.resume()
        if not actor.done:
            assert len(path) > 1, f"{id_} is {path}, and an attempt begins"
            self.frozen.append((actor, message, id_, path[1]))
        self._compare({id_: path[:2]}, None)

    @precondition(lambda self: self.frozen)
    @rule(pick=pick, dies=st.booleans())
    def thaws(self, pick: int, dies: bool) -> None:
        """It goes on, whatever has become of its task; or its process dies."""
        actor, message, id_, began = self.frozen.pop(pick % len(self.frozen))
        if dies:
            actor.process.crash()
            self._compare({}, None)
            return
        now = self.model.tasks[id_].state
        path = self.model.worked(id_, began) if now == began else [now]
        self.world.wire.settle(message, actor.finish())
        self._compare({id_: path}, None)

    @rule(fault=fault, process=st.sampled_from(["sweep", "sweep too"]))
    def sweeps(self, fault: Fault, process: str) -> None:
        """Cloud Scheduler ticks."""
        paths = {id_: self.model.swept(id_, self._now(process)) for id_ in self.model.tasks}
        message = self.world.wire.post("ticks", {})
        self.world.wire.drop(message)
        self._played(fault, lambda: self.world.wire.push(message, process).finish())
        self._compare(paths, fault)

    @precondition(lambda self: self.model.tasks)
    @rule(pick=pick, fault=fault)
    def cancels(self, pick: int, fault: Fault) -> None:
        """A client wants it no more."""
        id_ = self._task(pick)
        path = self.model.cancelled(id_)
        answer = self._played(fault, lambda: self.world.call("cancel_task", f"/task/{id_}/cancel"))
        if fault is None:
            assert answer.status_code == (200 if path[-1].status == "cancelled" else 409)
        self._compare({id_: path}, fault)

    @precondition(lambda self: self.model.tasks)
    @rule(pick=pick, fault=fault, process=process)
    def redrives(self, pick: int, fault: Fault, process: str) -> None:
        """An operator has it done again."""
        id_ = self._task(pick)
        old = self.model.tasks[id_]
        allowed = (202, 402) if old.on_account and not old.redriven_as else (202,)
        if not self.model.redrivable(id_):
            allowed = (409,)
        answer = self._played(
            fault,
            lambda: self.world.call("dispatch", f"/task/{id_}/redrive", {}, process=process),
        )
        if fault is None:
            assert answer.status_code in allowed, answer.data
        new = self.world.watch.tasks[f"tasks/{id_}"].redriven_as
        if new and not old.redriven_as:
            assert self.model.redrivable(id_)
            old.redriven_as = new
            self._learn(new, old.do)
        self._compare({}, fault)

    @rule(seconds=st.sampled_from([1, 7, 31, 61, 300]), jump=jump)
    def waits(self, seconds: int, jump: tuple[str, int] | None) -> None:
        """Time passes; a process's clock may jump, and be wrong from then on."""
        self.world.clock += clock.SECOND * seconds
        if jump:
            self.world.skew[jump[0]] = clock.SECOND * jump[1]

    @invariant()
    def nothing_is_wrong(self) -> None:
        """No commit broke an invariant, and the account holds its tasks."""
        assert not self.world.watch.violations, self.world.watch.violations

    def teardown(self) -> None:
        """When faults stop, everything drains."""
        with self.stack:
            for actor, _, _, _ in self.frozen:
                actor.process.crash()
            self.world.skew.clear()
            self.world.drain()
            violations = self.world.violations(auditor.Terms(at_rest=True))
            assert not violations, violations

    def _played(self, fault: Fault, play: Any) -> Any:
        """The answer, with a fault at one of its outside steps."""
        self.world.faults = steps.Planned({fault[0]: fault[1]} if fault else {})
        try:
            return play()
        finally:
            self.world.faults = steps.Planned()

    def _payable(self, budget: int) -> tuple[int, ...]:
        """The answers that the account allows: with purses open a refusal may come early.

        A limit that was lowered below what purses hold lets them be used up all the same.
        """
        ledger = self.world.watch.ledgers["ledgers/team@total"]
        if budget > self.model.limit - self.model.used:
            return (202, 402) if ledger.ceiling > ledger.limit else (402,)
        return (202, 402) if ledger.purses else (202,)

    def _now(self, process: str) -> int:
        return self.world.clock + self.world.skew.get(process, 0)

    def _message(self, pick: int) -> Message:
        return self.world.wire.messages[pick % len(self.world.wire.messages)]

    def _task(self, pick: int) -> str:
        return sorted(self.model.tasks)[pick % len(self.model.tasks)]

    def _paths(self, message: Message) -> Paths:
        data = json.loads(message.data)
        id_ = data.get("taskId")
        if message.topic == "tasks":
            return {id_: self.model.delivered(id_, self._now("agent_probe"))}
        if message.topic == "dead" and message.attributes["hop"] == "tasks":
            return {id_: self.model.died(id_, self._now("dead_letter"))}
        if message.topic == "results":
            refused = data.get("refused", False)
            told = Result(task=id_, attempt=data["attempt"], status=data["status"], refused=refused)
            return {id_: self.model.settled(told)}
        return {}

    def _learn(self, id_: str, do: str) -> None:
        """A task that is there now."""
        task = self.world.watch.tasks[f"tasks/{id_}"]
        self.model.tasks[id_] = Known(
            id=id_,
            do=do,
            budget=task.budget // CENT,
            on_account=task.account is not None,
            deadline=task.deadline,
        )

    def _compare(self, paths: Paths, fault: Fault) -> None:
        """Every task is where it may be; from there the model goes on."""
        for id_, known in self.model.tasks.items():
            task = self.world.watch.tasks[f"tasks/{id_}"]
            real = State(status=task.status, attempts=task.attempts, charged=task.charged // CENT)
            path = paths.get(id_, [known.state])
            allowed = path if fault else path[-1:]
            assert real in allowed, f"{id_} is {real}, not {allowed}"
            known.state, known.lease = real, task.lease_until or 0
            known.wake = task.wake_at or 0


def explore(seed: int, examples: int) -> list[str]:
    """What is wrong with the first sequence of rules that goes wrong; empty: nothing."""
    quick = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(seeded(seed)(Machine), settings=quick)
    except Exception as error:  # whatever it is: the model and the code do not agree
        return [f"{type(error).__name__}: {error}".splitlines()[0]]
    return []


def part(options: report.Options) -> report.Part:
    """See `report.Run`."""
    examples = EXAMPLES[options.form]
    return report.Part(
        name="state machine",
        claim="whatever is done in whatever order, each task is where a simple model says",
        figures={"sequences": examples, "rules at most each": STEPS},
        violations=explore(options.seed, examples),
        replay=report.replay("machine", options),
    )
