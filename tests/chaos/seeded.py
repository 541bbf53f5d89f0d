"""Tests of the tests: every seeded bug, one at a time, must be caught by the battery."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.chaos import bugs, crash_points, interleavings, machine, report
from tests.chaos.scenarios import SCENARIOS

SCHEDULES = 100  # interleavings
FIRST = (  # these are interrupted before the state machine takes its time
    "charges as it works",
    "is sent to the store twice and moved in between",
)
EXAMPLES = 60  # of the state machine


@dataclass(frozen=True)
class Catch:
    """Which part caught a bug, and how it looked."""

    bug: bugs.Bug
    part: str  # empty: nothing did
    schedule: str = ""
    violation: str = ""

    @property
    def row(self) -> str:
        """A line of the table."""
        seen = f"{self.part}: {self.schedule}: {self.violation}" if self.part else "NOT CAUGHT"
        return f"{self.bug.name:40} {seen}"[:200]


def hunt(bug: bugs.Bug, seed: int) -> Catch:
    """The first thing that any part finds wrong with the code that has this bug."""
    with bug.applied():
        for part, schedule, violation in _findings(seed):
            return Catch(bug, part, schedule, violation)
    return Catch(bug, "")


def _findings(seed: int) -> Iterator[tuple[str, str, str]]:
    """(part, schedule, violation), the quick parts first."""
    yield from _undisturbed(seed)
    yield from _interleaved(seed, SCHEDULES // 10)
    yield from _interrupted(FIRST)
    for violation in machine.explore(seed, EXAMPLES):
        yield "state machine", f"seed {seed}", violation
    others = sorted(SCENARIOS.keys() - FIRST)
    random.Random(seed).shuffle(others)
    yield from _interrupted(others)
    yield from _interleaved(seed + SCHEDULES // 10, SCHEDULES)


def _undisturbed(seed: int) -> Iterator[tuple[str, str, str]]:
    for name in SCENARIOS:
        for violation in crash_points.play(name, {}, seed)[2]:
            yield "scenarios", name, violation


def _interleaved(seed: int, count: int) -> Iterator[tuple[str, str, str]]:
    for number in range(seed, seed + count):
        for violation in interleavings.Schedule(number).run():
            yield "interleavings", f"seed {number}", violation


def _interrupted(names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    for name in names:
        tally = crash_points.Tally()
        for _ in crash_points.singles(tally, name):
            for schedule, found in tally.broken.items():
                yield "crash points", schedule, found[0]


def part(options: report.Options) -> report.Part:
    """See `report.Run`; prints the table of the bugs, and what caught each."""
    catches = [hunt(bug, options.seed) for bug in bugs.all_bugs()]
    print(*(catch.row for catch in catches), sep="\n")
    return report.Part(
        name="tests of the tests",
        claim="bugs put into the real code, one at a time, are caught",
        figures={"bugs": len(catches), "caught": sum(bool(catch.part) for catch in catches)},
        violations=[catch.row for catch in catches if not catch.part],
        replay=report.replay("seeded", options),
    )
