"""Crash points: every scenario, interrupted at every outside step, and then left to recover."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.chaos import auditor, report, steps
from tests.chaos.scenarios import LIMIT, SCENARIOS, ask
from tests.chaos.steps import Fault
from tests.chaos.world import World

Plan = dict[int, Fault]
SHARES = {"brief": (0.05, 0.001), "short": (0.25, 0.004), "full": (1.0, 0.02)}  # of singles, pairs


@dataclass
class Tally:
    """What was tried, and what broke."""

    singles: int = 0
    pairs: int = 0
    events: dict[str, int] = field(default_factory=dict)
    broken: dict[str, list[str]] = field(default_factory=dict)  # by schedule

    def add(self, name: str, plan: Plan, world: World, found: list[str]) -> None:
        """Counts a schedule in."""
        self.singles += len(plan) == 1
        self.pairs += len(plan) == 2
        for event, count in world.events.items():
            self.events[event] = self.events.get(event, 0) + count
        if found:
            at = ", ".join(f"{fault} step {step}" for step, fault in plan.items())
            self.broken[f"{name}: {at or 'undisturbed'}"] = found


def play(name: str, plan: Plan, seed: int = 0) -> tuple[World, steps.Planned, list[str]]:
    """One schedule: the world at rest, the steps it took, the violations."""
    planned = steps.Planned(plan)
    world = World(seed, faults=planned)
    with world.entered():
        SCENARIOS[name](world)
        world.drain()
        world.faults = steps.Planned()
        found = world.violations(auditor.Terms(at_rest=True, never_lowered="cut" not in name))
        return world, planned, found + world.late() + _unreachable(world)


def _unreachable(world: World) -> list[str]:
    """At rest, what is not spent can be had, to the last cent."""
    ledger = world.watch.ledgers.get("ledgers/team@total")
    if ledger is None or ledger.limit <= ledger.spent:
        return []
    rest = {"agent": "probe", "payload": {}, "ttlSeconds": 60, "account": "team"}
    rest["budgetCents"] = (ledger.limit - ledger.spent) / 10_000
    answer = ask(world, "dispatch", "/dispatch", rest)
    return [] if answer.status_code == 202 else [f"of {LIMIT} cents the last ones cannot be had"]


def outcome(world: World) -> list[tuple[str, str, int, int]]:
    """What each task has come to: (agent's work, state, micros, attempts)."""
    tasks = world.watch.tasks.values()
    return sorted((task.payload, task.status, task.charged, task.attempts) for task in tasks)


def faults(kinds: list[steps.Kind], begin: int = 0) -> Iterator[tuple[int, Fault]]:
    """Everything that can go wrong with these steps: a crash before and after, and errors."""
    for step, kind in enumerate(kinds[begin:], begin):
        yield step, "crash before"
        if kind != "read":  # a crash after a read is one before the next step
            yield step, "crash after"
        for error in steps.ERRORS[kind]:
            yield step, error


def singles(
    tally: Tally, name: str, rng: random.Random | None = None, share: float = 1.0
) -> Iterator[tuple[Plan, steps.Planned]]:
    """A share of a scenario's single faults, played; yields each with the steps it led to."""
    rng = rng or random.Random(0)
    undisturbed, planned, found = play(name, {})
    tally.add(name, {}, undisturbed, found)
    for step, fault in faults(planned.kinds):
        if rng.random() >= share:
            continue
        world, led_to, found = play(name, {step: fault})
        twice = fault == "repeated" and planned.kinds[step] == "commit"
        if twice and outcome(world) != outcome(undisturbed):
            found.append(f"sent twice, it leads to {outcome(world)}, not {outcome(undisturbed)}")
        tally.add(name, {step: fault}, world, found)
        yield {step: fault}, led_to


def run(seed: int, share: float, pairs: float, names: list[str] | None = None) -> Tally:
    """Of the single faults that share, and of the pairs they lead to that one; the seed chooses."""
    rng, tally = random.Random(seed), Tally()
    for name in names or SCENARIOS:
        for plan, led_to in singles(tally, name, rng, share):
            if pairs:
                _pairs(tally, name, plan, led_to, rng, pairs)
    return tally


def _pairs(
    tally: Tally, name: str, plan: Plan, led_to: steps.Planned, rng: random.Random, share: float
) -> None:
    (step,) = plan
    for second, fault in faults(led_to.kinds, step + 1):
        if rng.random() < share:
            both: Plan = {**plan, second: fault}
            world, _, found = play(name, both)
            tally.add(name, both, world, found)


def first(tally: Tally, count: int = 20) -> list[str]:
    """The first schedules that broke, with what each broke first."""
    return [
        f"{schedule}: {found[0]}"
        for schedule, found in itertools.islice(tally.broken.items(), count)
    ]


def part(options: report.Options) -> report.Part:
    """See `report.Run`: a share of the single faults and of their pairs; in the full form all
    of the single ones."""
    tally = run(options.seed, *SHARES[options.form])
    return report.Part(
        name="crash points",
        claim="a fault at any outside step, alone or in pairs, leaves nothing wrong once it rests",
        figures={
            "schedules": len(SCENARIOS) + tally.singles + tally.pairs,
            "scenarios": len(SCENARIOS),
            "single faults": tally.singles,
            "pairs": tally.pairs,
            "dead letters": tally.events.get("dead-lettered", 0),
            "late results": tally.events.get("late result", 0),
            "lapsed purses": tally.events.get("lapsed purse", 0),
        },
        violations=first(tally),
        replay=report.replay("crash_points", options),
    )
