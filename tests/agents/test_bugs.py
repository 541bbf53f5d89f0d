"""The tests bite: bugs seeded one at a time, each caught by a test of this suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared import children, errors, steps
from shared.context import Context
from shared.runtime import Services
from shared.tasks import commits, transitions
from shared.tasks.record import Outcome, Task
from tests.agents import (
    provider_server as server,
    test_codex as codex,
    test_context as context,
    test_steps_killed as killed,
    test_trees as trees,
    world,
)

Patch = pytest.MonkeyPatch
Exam = Callable[[Path], None]
BUGS: dict[str, tuple[Callable[[Patch], None], Exam]] = {}


def caught_by(exam: Exam) -> Callable[[Callable[[Patch], None]], None]:
    """Seeds the bug below, which that test must catch."""

    def register(seed: Callable[[Patch], None]) -> None:
        BUGS[seed.__name__.replace("_", " ")] = seed, exam

    return register


def codexed(exam: Callable[..., None], **more: Any) -> Exam:
    """A test of the agent codex."""

    def run(folder: Path) -> None:
        with server.provider() as provider, codex.beside(folder, provider) as made:
            exam(made, provider, **more)

    return run


@caught_by(trees.test_a_cancelled_child_counts_once_its_own_children_are_closed)
def a_child_counts_at_its_end_though_its_own_children_run(patch: Patch) -> None:
    def told(services: Services, before: Task, after: Task) -> Iterator[tuple[Task, Task]]:
        if after.parent and after.terminal and not before.terminal:
            parent = commits.get(services, after.parent)
            ended = transitions.child_ended(services, parent, after)
            yield parent, replace(ended, op=services.new_id())

    patch.setattr(commits, "_told", told)


@caught_by(trees.test_what_children_do_not_use_comes_back_to_the_micro)
def a_child_keeps_what_it_did_not_use(patch: Patch) -> None:
    right = transitions.child_ended

    def ended(services: Services, parent: Task, child: Task) -> Task:
        return right(services, parent, replace(child, charged=child.budget))

    patch.setattr(transitions, "child_ended", ended)


@caught_by(trees.test_a_waiting_parent_is_in_no_process_and_its_child_ends_before_its_deadline)
def a_childs_budget_is_not_carved_out_of_its_parents(patch: Patch) -> None:
    right = transitions.called

    def called(services: Services, task: Task, made: Any) -> Task:
        after = right(services, task, made)
        return replace(after, charged=task.charged, runs=task.runs)

    patch.setattr(transitions, "called", called)


@caught_by(trees.test_a_waiting_parent_is_in_no_process_and_its_child_ends_before_its_deadline)
def a_child_may_outlive_its_parent(patch: Patch) -> None:
    right = children._child

    def child(services: Services, parent: Task, *rest: Any) -> Task:
        return replace(right(services, parent, *rest), deadline=parent.deadline + 1)

    patch.setattr(children, "_child", child)


@caught_by(trees.test_a_stray_message_after_the_deadline_leaves_a_waiting_parent_to_the_sweep)
def a_stray_message_ends_a_parent_that_waits(patch: Patch) -> None:
    right = transitions.claimed

    def claimed(services: Services, task: Task, cost: int, lease: float) -> Task:
        if task.status == "waiting" and services.now() >= task.deadline:
            late = transitions.fault("expired", "seeded")
            outcome = Outcome(status="expired", error=late)
            raise transitions.Refused(task, outcome)
        return right(services, task, cost, lease)

    patch.setattr(transitions, "claimed", claimed)


@caught_by(trees.test_a_result_that_does_not_name_its_parent_is_settled_by_a_read)
def a_result_without_a_parent_counts_as_a_roots(patch: Patch) -> None:
    patch.setattr(commits, "FAST", commits.FAST - {"parent"})


@caught_by(
    partial(
        trees.test_the_end_of_a_tree_goes_down_it_and_gives_every_micro_back,
        how="cancelled",
        rounds=2,
    )
)
def a_tree_that_was_cancelled_is_told_of_only_at_the_top(patch: Patch) -> None:
    right = commits._told

    def told(*given: Any) -> Iterator[tuple[Task, Task]]:
        yield from list(right(*given))[:1]

    patch.setattr(commits, "_told", told)


@caught_by(context.test_a_charge_is_settled_once_and_only_by_the_attempt_that_made_it)
def a_charge_may_be_settled_twice(patch: Patch) -> None:
    def settle(self: Context, charge: Any, cents: float) -> None:
        unused = charge.micros - int(cents * context.CENT)
        self._advance(lambda task: transitions.charged(task, -unused))

    patch.setattr(Context, "settle", settle)


@caught_by(context.test_threads_share_a_context_and_every_charge_counts)
def a_commit_that_another_thread_overtook_passes_for_done(patch: Patch) -> None:
    def advance(self: Context, transition: Callable[[Task], Task]) -> None:
        try:
            self.task = commits.move(self._services, self.task, transition(self.task))
        except commits.Lost:
            return

    patch.setattr(Context, "_advance", advance)


@caught_by(context.test_a_zombie_whose_lease_lapsed_can_neither_spend_nor_finish)
def a_zombie_spends_from_the_task_as_it_is_now(patch: Patch) -> None:
    def advance(self: Context, transition: Callable[[Task], Task]) -> None:
        self.task = commits.get(self._services, self.task.id)
        self.task = commits.move(self._services, self.task, transition(self.task))

    patch.setattr(Context, "_advance", advance)


@caught_by(
    partial(killed.test_killed_around_any_commit_each_step_that_was_kept_ran_once, side="before")
)
def a_step_is_settled_in_a_commit_of_its_own(patch: Patch) -> None:
    right = steps.kept

    def step(self: Context, name: str, function: Callable[[], Any], *, cost: float = 0) -> Any:
        if steps.done(self._known(), name):
            return steps.result(self._known(), name)
        charge = self.charge(cost)
        paid = function()
        self._advance(lambda task: right(task, name, paid.result, 0))
        self.settle(charge, paid.cents)
        return paid.result

    patch.setattr(Context, "step", step)


@caught_by(
    partial(
        killed.test_killed_in_the_middle_of_any_step_only_that_one_is_paid_twice, when="die_after"
    )
)
def a_step_is_charged_after_its_work(patch: Patch) -> None:
    def step(self: Context, name: str, function: Callable[[], Any], *, cost: float = 0) -> Any:
        if steps.done(self._known(), name):
            return steps.result(self._known(), name)
        paid = function()
        micros = int(paid.cents * context.CENT)
        self._advance(
            lambda task: steps.kept(transitions.charged(task, micros), name, paid.result, micros)
        )
        return paid.result

    patch.setattr(Context, "step", step)


@caught_by(
    partial(killed.test_killed_around_any_commit_each_step_that_was_kept_ran_once, side="after")
)
def a_later_attempt_does_not_look_for_what_was_kept(patch: Patch) -> None:
    patch.setattr(Context, "_known", lambda self: self.task)


@caught_by(
    codexed(
        codex.test_an_answer_that_is_lost_stays_charged_at_its_worst_case, lost=server.breaks_off
    )
)
def an_answer_that_was_lost_counts_as_not_taken(patch: Patch) -> None:
    provider = world.load("agent_codex").model.provider
    patch.setattr(provider, "Lost", provider.NotNow)


@caught_by(codexed(codex.test_a_call_whose_worst_case_does_not_fit_is_never_sent))
def the_worst_case_forgets_the_answer(patch: Patch) -> None:
    price = world.load("agent_codex").model.Price
    right = price.micros
    most = codex.MOST_OUTPUT

    def micros(self: Any, prompt: int, completion: int, cached: int = 0) -> int:
        found: int = right(self, prompt, 0 if completion == most else completion, cached)
        return found

    patch.setattr(price, "micros", micros)


@caught_by(
    codexed(codex.test_a_busy_provider_is_asked_again_and_its_refusals_cost_nothing, status=429)
)
def a_refusal_is_paid_for_like_a_lost_answer(patch: Patch) -> None:
    provider = world.load("agent_codex").model.provider
    patch.setattr(provider, "_refusal", lambda error, said: provider.Lost(said))


@pytest.mark.slow  # together
@pytest.mark.parametrize("bug", BUGS)
def test_a_seeded_bug_is_caught(bug: str, tmp_path: Path, monkeypatch: Patch) -> None:
    seed, exam = BUGS[bug]
    seed(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception, errors.Error)):
        exam(tmp_path)


@pytest.mark.slow
def test_without_a_bug_the_same_tests_pass(tmp_path: Path) -> None:
    """They run on their own too; here, that what wraps them does not make them fail."""
    for number, exam in enumerate({id(exam): exam for _, exam in BUGS.values()}.values()):
        exam(tmp_path / str(number))
