"""An agent of ten steps, killed everywhere: what is done stays done, and is paid for once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared import steps
from shared.context import Context
from tests.agents.world import Killed, World, world

CENT = 10_000  # micros
STEPS = 10
WORST = 3  # cents charged before each step
PRICE = 2  # cents that each step costs in the end
COMMITS = 2 * STEPS + 3  # dispatch, claim, each step's charge and result, the end


class Worker:
    """The agent, the provider that it pays, and where it dies."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()  # how often the provider did the work
        self.die_before = self.die_after = ""  # the step whose work it dies before or after
        self.commits = 0
        self.die_at: dict[tuple[str, int], int] = {}  # times left, by (side, number of a commit)

    def agent_worker(self, payload: Any, context: Context) -> Any:
        return [
            context.step(f"s{number}", partial(self.work, f"s{number}"), cost=WORST)
            for number in range(STEPS)
        ]

    def work(self, name: str) -> steps.Paid:
        if self.die_before == name:
            self.die_before = ""
            raise Killed
        self.done[name] += 1
        if self.die_after == name:
            self.die_after = ""
            raise Killed
        return steps.Paid(name, PRICE)

    def before(self, _: Any) -> None:
        self.commits += 1
        self._die("before")

    def after(self, *_: Any) -> None:
        self._die("after")

    def _die(self, side: str) -> None:
        if self.die_at.get((side, self.commits), 0):
            self.die_at[side, self.commits] -= 1
            raise Killed


@contextmanager
def worker(folder: Path) -> Iterator[tuple[Worker, World]]:
    one = Worker()
    with world(folder, one.agent_worker) as made:
        made.store.before, made.store.after = one.before, one.after
        yield one, made


def check(one: Worker, made: World, task_id: str, unknown: int) -> None:
    """`unknown`: how many steps may have been paid for twice at the most."""
    task = made.settle(task_id)
    assert task.result == str([f"s{number}" for number in range(STEPS)]).replace("'", '"').replace(
        " ", ""
    )
    surplus = task.charged - STEPS * PRICE * CENT
    assert surplus in [number * WORST * CENT for number in range(unknown + 1)]
    again = sum(one.done.values()) - STEPS
    assert 0 <= again <= unknown
    assert again * WORST * CENT <= surplus  # what was done twice was charged twice


def test_undisturbed_it_takes_two_commits_a_step_and_pays_their_price(tmp_path: Path) -> None:
    with worker(tmp_path) as (one, made):
        check(one, made, made.dispatch("worker"), unknown=0)
        assert one.commits == COMMITS


@pytest.mark.parametrize("side", ["before", "after"])
def test_killed_around_any_commit_each_step_that_was_kept_ran_once(
    tmp_path: Path, side: str
) -> None:
    for number in range(2, COMMITS + 1):  # 1 is the dispatch
        with worker(tmp_path / str(number)) as (one, made):
            one.die_at = {(side, number): 1}
            check(one, made, made.dispatch("worker"), unknown=1)


@pytest.mark.parametrize("when", ["die_before", "die_after"])
def test_killed_in_the_middle_of_any_step_only_that_one_is_paid_twice(
    tmp_path: Path, when: str
) -> None:
    for number in range(STEPS):
        with worker(tmp_path / str(number)) as (one, made):
            setattr(one, when, f"s{number}")
            task_id = made.dispatch("worker")
            check(one, made, task_id, unknown=1)
            assert made.task(task_id).charged == (STEPS * PRICE + WORST) * CENT
            again = {name for name, times in one.done.items() if times > 1}
            assert again == ({f"s{number}"} if when == "die_after" else set())


def test_killed_after_each_step_in_turn_no_step_runs_twice(tmp_path: Path) -> None:
    one = Worker()
    with world(tmp_path, one.agent_worker, environ={"MAX_ATTEMPTS": "50"}) as made:
        kept = 0

        def after(writes: Any, version: int) -> None:
            nonlocal kept
            now = sum("result" in step for step in (made.task(task_id).steps or {}).values())
            if now > kept:
                kept = now
                raise Killed

        task_id = made.dispatch("worker")
        made.store.after = after
        task = made.settle(task_id)
        assert set(one.done.values()) == {1}
        assert (task.charged, task.attempts) == (STEPS * PRICE * CENT, STEPS + 1)
