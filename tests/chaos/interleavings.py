"""Interleavings: many processes at once, any of which may go on, die or be misled at each step."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.clock import SECOND
from tests.chaos import auditor, report, steps
from tests.chaos.world import START, World

DAY = 86_400 * SECOND
SETTINGS = {"purse_seconds": 4.0, "publish_grace_seconds": 6.0, "lease_seconds": 5.0}
COUNT = {"brief": 40, "short": 100, "full": 5_000}  # schedules
PROCESSES = ("agent-0", "agent-1", "results", "sweep-0", "sweep-1", "accounts")
SKEWS = (0, -40, -5, -1, 1, 5, 40)  # seconds that a process's clock is wrong
MIDNIGHT = (START // DAY + 1) * DAY  # in UTC, when an account's day begins
STEPS = 2000  # of a schedule, then the faults stop in any case
DOING = [
    *("succeed", "succeed", "succeed", "stumble", "give up", "fail"),
    *("charge", "step", "call", "gather", "later"),
]


@dataclass
class Chance:
    """Faults by chance: implements `steps.Faults`."""

    rng: random.Random
    crash: float
    error: float
    counted: dict[str, int] = field(default_factory=dict)

    def at(self, kind: steps.Kind) -> steps.Fault | None:
        """See `Faults.at`."""
        dice, fault = self.rng.random(), None
        if dice < self.crash:
            fault = self.rng.choice(steps.CRASHES)
        elif dice < self.crash + self.error and steps.ERRORS[kind]:
            fault = self.rng.choice(steps.ERRORS[kind])
        if fault:
            self.counted[fault] = self.counted.get(fault, 0) + 1
        return fault


Role = Iterator[steps.Actor | None]  # what it does next; None: nothing now


class Schedule:
    """One world, and who acts in it, by one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.world = World(seed, SETTINGS)
        self.faults = Chance(rng, rng.choice([0, 0.01, 0.03]), rng.choice([0, 0.03, 0.1]))
        self.limit = rng.randint(20, 120)  # cents
        self.window = "total"
        dispatchers = [f"dispatch-{number}" for number in range(rng.randint(1, 3))]
        roles: list[Role] = [
            dispatching(self, name) for name in dispatchers for _ in range(rng.randint(1, 2))
        ]
        roles += [delivering(self, "tasks", f"agent-{number}") for number in range(2)]
        roles += [delivering(self, "results", "results"), changing(self)]
        roles += [sweeping(self, f"sweep-{number}") for number in range(rng.randint(1, 2))]
        self.roles = roles
        self._set_clocks([*dispatchers, *PROCESSES], random.Random(f"{seed} clocks"))

    def _set_clocks(self, processes: list[str], dice: random.Random) -> None:
        """In every third schedule the clocks are wrong, and in every third a day ends."""
        if dice.random() < 1 / 3:
            self.world.skew = {each: dice.choice(SKEWS) * SECOND for each in processes}
        if dice.random() < 1 / 3:
            self.window = "day"
            self.world.clock = MIDNIGHT - dice.randint(1, 40) * SECOND

    def run(self) -> list[str]:
        """Every violation, at any commit or at rest."""
        world, rng = self.world, self.rng
        with world.entered():
            self.put_account()
            world.faults = self.faults
            acting: dict[int, steps.Actor] = {}
            for _ in range(STEPS):
                if not self.roles:
                    break
                world.clock += SECOND if rng.random() < 0.12 else rng.randrange(SECOND // 20)
                chosen = rng.randrange(len(self.roles))
                self._advance(chosen, acting)
            for actor in acting.values():
                actor.process.crash()
            world.faults = steps.Planned()
            world.skew.clear()
            world.drain()
            return world.violations(auditor.Terms(at_rest=True))

    def _advance(self, chosen: int, acting: dict[int, steps.Actor]) -> None:
        """One step of one role; its iterator ends when the role has nothing more to do."""
        role = self.roles[chosen]
        key = id(role)
        if key not in acting or acting[key].done:
            acting.pop(key, None)
            try:
                following = next(role)
            except StopIteration:
                del self.roles[chosen]
                return
            if following is None:
                return
            acting[key] = following
        acting[key].resume()

    def put_account(self) -> None:
        """Changes the limit, all at once."""
        self.world.call("accounts", "/account/team", self.account, method="PUT")

    @property
    def account(self) -> dict[str, Any]:
        """What is put."""
        return {"limitCents": self.limit, "window": self.window}


def dispatching(this: Schedule, process: str) -> Role:
    """A client that asks one process for one task after the other."""
    rng = this.rng
    for _ in range(rng.randint(1, 5)):
        order = {
            "agent": "probe",
            "payload": {"do": rng.choice(DOING)},
            "ttlSeconds": rng.choice([3, 20, 60]),
            "budgetCents": rng.choice([4, 10, 10, 15, 20]),
            "account": "team",
        }
        if rng.random() < 0.3:
            order |= {"idempotencyKey": rng.choice("abc"), "payload": {}, "budgetCents": 10}
        yield this.world.start("dispatch", "/dispatch", order, process=process)


def delivering(this: Schedule, topic: str, process: str) -> Role:
    """Deliveries in any order, some twice."""
    wire = this.world.wire
    for _ in range(15):
        if not wire.on(topic):
            yield None
            continue
        message = this.rng.choice(wire.on(topic))
        actor = wire.push(message, process)
        yield actor
        if this.rng.random() < 0.8:
            wire.settle(message, actor.answer)


def sweeping(this: Schedule, process: str) -> Role:
    """A few ticks."""
    for _ in range(4):
        message = this.world.wire.post("ticks", {})
        this.world.wire.drop(message)
        yield this.world.wire.push(message, process)


def changing(this: Schedule) -> Role:
    """An operator, who cancels, redrives, runs and changes the limit."""
    world, rng = this.world, this.rng
    for _ in range(rng.randint(0, 5)):
        tasks = sorted(task.id for task in world.watch.tasks.values())
        id_, what = rng.choice(tasks or ["0" * 32]), rng.randrange(4)
        if what == 0:
            yield world.start("cancel_task", f"/task/{id_}/cancel")
        elif what == 1:
            yield world.start("dispatch", f"/task/{id_}/redrive", {"ttlSeconds": 30})
        elif what == 2:
            order = {"payload": {}, "account": "team", "idempotencyKey": "a", "budgetCents": 10}
            yield world.start("agent_probe", "/run", {**order, "ttlSeconds": 30}, process="agent-0")
        else:
            this.limit = rng.randint(10, 150)
            yield world.start("accounts", "/account/team", this.account, method="PUT")


def part(options: report.Options) -> report.Part:
    """See `report.Run`."""
    count, violations = COUNT[options.form], []
    events: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for seed in range(options.seed, options.seed + count):
        schedule = Schedule(seed)
        violations += [f"seed {seed}: {violation}" for violation in schedule.run()[:1]]
        events += schedule.world.events
        faults += Counter(schedule.faults.counted)
    told = ("lapsed purse", "late result", "requeued", "dead-lettered", "waiting")
    seen = {each: events[each] for each in told}
    return report.Part(
        name="interleavings",
        claim="in no order of the processes' steps is a purse or an account overspent",
        figures={
            "schedules": count,
            "faults": faults.total(),
            **seen,
        },
        violations=violations,
        unexercised=[each for each, count in seen.items() if not count],
        replay=report.replay("interleavings", options),
    )
