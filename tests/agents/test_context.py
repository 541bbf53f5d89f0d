"""What an agent may do in its run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from shared import agent, children, errors, limits, redrives, steps
from shared.context import Charge, Context
from shared.tasks import view as views
from tests.agents.world import Killed, World, world

CENT = 10_000  # micros


def test_a_charge_is_settled_once_and_only_by_the_attempt_that_made_it(tmp_path: Path) -> None:
    def agent_spender(payload: Any, context: Context) -> Any:
        charge = context.charge(10, "worst case")
        context.settle(charge, 4)
        for again in (charge, Charge(100 * CENT, "forged")):
            with pytest.raises(ValueError, match="settled before"):
                context.settle(again, 0)
        return context.remaining_cents

    with world(tmp_path, agent_spender) as made:
        task = made.settle(made.dispatch("spender", cents=100))
        assert (task.result, task.charged, task.held) == ("96", 4 * CENT, 4 * CENT)


def test_a_charge_that_does_not_fit_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    def agent_greedy(payload: Any, context: Context) -> Any:
        context.charge(9.9999)
        with pytest.raises(errors.BudgetExceeded):
            context.charge(0.0002)
        context.charge(0.0001)
        return context.remaining_cents

    with world(tmp_path, agent_greedy) as made:
        task = made.settle(made.dispatch("greedy", cents=10))
        assert (task.result, task.charged) == ("0", task.budget)


def test_threads_share_a_context_and_every_charge_counts(tmp_path: Path) -> None:
    def agent_parallel(payload: Any, context: Context) -> Any:
        threads = [threading.Thread(target=context.charge, args=(1,)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return context.remaining_cents

    with world(tmp_path, agent_parallel) as made:
        task = made.settle(made.dispatch("parallel", cents=100))
        assert (task.result, task.charged) == ("80", 20 * CENT)


def test_after_a_cancel_the_next_call_stops_the_agent(tmp_path: Path) -> None:
    reached: list[str] = []

    def agent_patient(payload: Any, context: Context) -> Any:
        made.cancel(context.task_id)
        for call in (
            lambda: context.charge(1),
            lambda: context.progress(0.5),
            lambda: context.step("paid", lambda: reached.append("work"), cost=1),
        ):
            with pytest.raises(errors.Fenced):
                call()
        context.charge(1)
        reached.append("the end")

    with world(tmp_path, agent_patient) as made:
        task = made.settle(made.dispatch("patient"))
        assert (task.status, task.charged, reached) == ("cancelled", 0, [])


def test_after_the_deadline_nothing_is_charged_and_no_step_begins(tmp_path: Path) -> None:
    def agent_late(payload: Any, context: Context) -> Any:
        made.pass_time(61)
        for call in (
            lambda: context.charge(1),
            lambda: context.step("free", lambda: reached.append("work")),
            lambda: context.call("late", None, budgetCents=1),
        ):
            with pytest.raises(errors.Expired):
                call()
        context.charge(1)

    reached: list[str] = []
    with world(tmp_path, agent_late) as made:
        task = made.settle(made.dispatch("late", ttl=60))
        assert (task.status, task.charged, reached) == ("expired", 0, [])


def test_a_zombie_whose_lease_lapsed_can_neither_spend_nor_finish(tmp_path: Path) -> None:
    seen: list[str] = []

    def agent_zombie(payload: Any, context: Context) -> Any:
        if context.attempt == 1:
            made.pass_time(61)
            made.sweep()
            made.drain()  # the second attempt runs and ends
            with pytest.raises(errors.Fenced):
                context.charge(50)
            seen.append("fenced")
            return "zombie"
        context.charge(2)
        return "alive"

    with world(tmp_path, agent_zombie) as made:
        task = made.settle(made.dispatch("zombie"))
        assert (task.result, task.charged, seen) == ('"alive"', 2 * CENT, ["fenced"])


def test_a_step_settles_its_worst_case_in_the_commit_that_keeps_its_result(
    tmp_path: Path,
) -> None:
    commits: list[int] = []

    def agent_stepper(payload: Any, context: Context) -> Any:
        first = made.store.counts["commit"]
        got = context.step("ask", lambda: steps.Paid({"said": "hi"}, 1.5), cost=20)
        commits.append(made.store.counts["commit"] - first)
        return [got, context.step("ask", lambda: 1 / 0, cost=20)]

    with world(tmp_path, agent_stepper) as made:
        task = made.settle(made.dispatch("stepper"))
        assert task.result == '[{"said":"hi"},{"said":"hi"}]'
        assert (task.charged, commits) == (15_000, [2])
        view = views.shown(task)["steps"]
        assert view == [{"step": "ask", "attempt": 1, "costCents": 1.5, "done": True}]


def test_a_step_that_raises_stays_charged_unless_it_says_that_it_did_cost_nothing(
    tmp_path: Path,
) -> None:
    def agent_unlucky(payload: Any, context: Context) -> Any:
        def refused() -> Any:
            raise steps.Unpaid from ConnectionRefusedError("closed")

        with pytest.raises(ConnectionRefusedError):
            context.step("free", refused, cost=30)
        with pytest.raises(TimeoutError):
            context.step("unknown", lambda: (_ for _ in ()).throw(TimeoutError()), cost=30)
        return context.step("unknown", lambda: "at last", cost=30)

    with world(tmp_path, agent_unlucky) as made:
        task = made.settle(made.dispatch("unlucky"))
        assert (task.result, task.charged) == ('"at last"', 60 * CENT)


def test_a_step_out_of_bounds_is_refused_before_it_is_paid_where_that_can_be_known(
    tmp_path: Path,
) -> None:
    def agent_bulky(payload: Any, context: Context) -> Any:
        with pytest.raises(steps.Invalid, match="name"):
            context.step("a.b", dict, cost=1)
        with pytest.raises(steps.Invalid, match="bytes of result"):
            context.step("large", lambda: "x" * limits.STEP_RESULT)
        with pytest.raises(steps.Invalid, match="JSON"):
            context.step("set", lambda: {1, 2})
        for number in range(limits.STEPS):
            context.step(f"s{number}", lambda: None)
        with pytest.raises(steps.Invalid, match="at most"):
            context.step("one-more", dict, cost=1)
        return None

    with world(tmp_path, agent_bulky) as made:
        task = made.settle(made.dispatch("bulky"))
        assert (task.status, task.charged) == ("succeeded", 0), task.error


def test_work_that_continues_later_keeps_its_state_budget_and_deadline(tmp_path: Path) -> None:
    deadlines: set[float] = set()

    def agent_long(payload: Any, context: Context) -> Any:
        done = context.state or []
        deadlines.add(context.deadline)
        context.charge(1)
        if len(done) < 9:  # more deliveries than attempts that may fail
            raise context.continue_later([*done, len(done)])
        return done

    with world(tmp_path, agent_long) as made:
        task = made.settle(made.dispatch("long"))
        assert (task.result, task.charged) == ("[0,1,2,3,4,5,6,7,8]", 10 * CENT)
        assert len(deadlines) == 1


def test_what_was_called_before_a_delivery_is_answered_in_the_next_one(tmp_path: Path) -> None:
    """Steps, children and deliveries of one task, in any turn."""

    def agent_mixed(payload: Any, context: Context) -> Any:
        done = context.state or 0
        plan = context.step("plan", lambda: [1, 2, 3], cost=1)
        found = [context.call("leaf", number, budgetCents=5) for number in plan[: done + 1]]
        if done < 2:
            raise context.continue_later(done + 1)
        return found

    def agent_leaf(payload: Any, context: Context) -> Any:
        context.charge(payload)
        return payload

    with world(tmp_path, agent_mixed, agent_leaf) as made:
        made.duplicate = 0.5
        task = made.settle(made.dispatch("mixed"))
        assert (task.result, task.charged, len(made.children(task))) == ("[1,2,3]", 7 * CENT, 3)


def test_a_redrive_may_be_tried_as_often_as_any_task_however_often_the_old_one_went_on(
    tmp_path: Path,
) -> None:
    def agent_long(payload: Any, context: Context) -> Any:
        if context.attempt < 9:
            raise context.continue_later()
        raise agent.Failure("no")

    with world(tmp_path, agent_long) as made:
        task = made.settle(made.dispatch("long"))
        again, _ = redrives.redrive(made.services, task.id, {})
        assert again.max_attempts == made.services.config.max_attempts < task.max_attempts


def test_a_dispatched_task_is_tried_as_often_as_its_agent_says_and_deliveries_do_not_count(
    tmp_path: Path,
) -> None:
    @agent.agent(max_attempts=2)
    def agent_impatient(payload: Any, context: Context) -> Any:
        if context.state is None:
            raise context.continue_later(1)
        raise RuntimeError("again")

    with world(tmp_path, agent_impatient) as made:
        task = made.settle(made.dispatch("impatient"))
        assert (task.status, task.attempts) == ("failed", 3)


def test_a_paid_step_does_not_end_its_delivery_which_would_pay_for_it_again(
    tmp_path: Path,
) -> None:
    def agent_hasty(payload: Any, context: Context) -> Any:
        def later() -> Any:
            raise context.continue_later()

        with pytest.raises(errors.Invalid, match="outside of paid steps"):
            context.step("paid", later, cost=1)
        return context.attempt if context.attempt > 1 else context.step("free", later)

    with world(tmp_path, agent_hasty) as made:
        assert made.settle(made.dispatch("hasty")).result == "2"


def test_a_step_that_is_at_work_is_not_begun_again_beside_itself(tmp_path: Path) -> None:
    def agent_double(payload: Any, context: Context) -> Any:
        def work() -> str:
            with pytest.raises(steps.Invalid, match="it is running"):
                context.step("same", lambda: "twice", cost=1)
            return "once"

        return context.step("same", work, cost=1)

    with world(tmp_path, agent_double) as made:
        task = made.settle(made.dispatch("double"))
        assert (task.result, task.charged) == ('"once"', CENT)


def test_an_agent_that_continues_without_end_is_stopped(tmp_path: Path) -> None:
    def agent_endless(payload: Any, context: Context) -> Any:
        raise context.continue_later()

    with world(tmp_path, agent_endless) as made:
        task = made.settle(made.dispatch("endless"))
        assert (task.status, task.attempts) == ("failed", 500)


def test_a_state_too_large_is_refused_while_the_agent_can_still_do_otherwise(
    tmp_path: Path,
) -> None:
    def agent_hoarder(payload: Any, context: Context) -> Any:
        with pytest.raises(errors.Invalid):
            context.continue_later("x" * 65536)
        return "ok"

    with world(tmp_path, agent_hoarder) as made:
        assert made.settle(made.dispatch("hoarder")).status == "succeeded"


def test_progress_is_shown_and_written_at_most_once_a_second(tmp_path: Path) -> None:
    def agent_busy(payload: Any, context: Context) -> Any:
        before = made.store.counts["commit"]
        for number in range(50):
            context.progress(number / 50, f"{number} \ud800")
        assert made.store.counts["commit"] == before + 1
        made.pass_time(2)
        context.progress(0.5, "half")
        with pytest.raises(ValueError, match="fraction"):
            context.progress(float("nan"))
        return views.shown(made.task(context.task_id))["progress"]["text"]

    with world(tmp_path, agent_busy) as made:
        assert made.settle(made.dispatch("busy")).result == '"half"'


def test_a_store_that_cannot_be_reached_costs_one_attempt_and_no_money(tmp_path: Path) -> None:
    def agent_steady(payload: Any, context: Context) -> Any:
        if context.attempt == 1:
            made.store.before = _away
        try:
            context.charge(5)
        finally:
            made.store.before = lambda _: None
        return "done"

    def _away(_: Any) -> None:
        raise errors.Unavailable("away")

    with world(tmp_path, agent_steady) as made:
        task = made.settle(made.dispatch("steady"))
        assert (task.status, task.attempts, task.charged) == ("succeeded", 2, 5 * CENT)


@pytest.mark.parametrize("landed", [False, True], ids=["lost", "landed"])
def test_a_suspension_whose_commit_is_in_doubt_is_tried_again_or_goes_on(
    tmp_path: Path, landed: bool
) -> None:
    def agent_parent(payload: Any, context: Context) -> Any:
        if context.attempt == 1:
            _arm(made)
        return context.call("child", 1, budgetCents=3)

    def agent_child(payload: Any, context: Context) -> Any:
        context.charge(1)
        return payload

    def _arm(made: World) -> None:
        def strike(*_: Any) -> None:
            made.store.before, made.store.after = (lambda _: None), (lambda *_: None)
            raise errors.Unavailable("no answer")

        if landed:
            made.store.after = strike
        else:
            made.store.before = strike

    with world(tmp_path, agent_parent, agent_child) as made:
        task = made.settle(made.dispatch("parent"))
        assert (task.result, task.charged) == ("1", CENT)
        assert len(made.children(task)) == 1


def test_a_child_that_does_not_fit_is_refused_where_the_agent_can_catch_it(tmp_path: Path) -> None:
    def agent_parent(payload: Any, context: Context) -> Any:
        with pytest.raises(errors.BudgetExceeded):
            context.call("parent", None, budgetCents=11)
        with pytest.raises(errors.UnknownAgent):
            context.call("nobody", None, budgetCents=1)
        for wrong in ({"ttl": 0}, {"ttl": float("nan")}, {"budgetCents": -1}):
            with pytest.raises(errors.Invalid):
                context.call("parent", None, **{"budgetCents": 1, **wrong})
        with pytest.raises(errors.Invalid, match="payload"):
            context.call("parent", "x" * limits.CHILD_PAYLOAD, budgetCents=1)
        with pytest.raises(errors.Invalid, match="children"):
            context.gather([children.Call("parent", 1, 0)] * 101)
        with pytest.raises(errors.Invalid, match="outside of paid steps"):
            context.step("s", lambda: context.call("parent", 1, budgetCents=1), cost=1)
        return "alone"

    with world(tmp_path, agent_parent) as made:
        task = made.settle(made.dispatch("parent", cents=10))
        assert (task.status, task.children) == ("succeeded", None), task.error


def test_calls_in_another_order_than_before_are_refused(tmp_path: Path) -> None:
    def agent_fickle(payload: Any, context: Context) -> Any:
        calls = [children.Call("leaf", 1, 1)] * (1 if context.attempt == 1 else 2)
        return context.gather(calls)

    def agent_leaf(payload: Any, context: Context) -> Any:
        return payload

    with world(tmp_path, agent_fickle, agent_leaf) as made:
        task = made.settle(made.dispatch("fickle"))
        assert task.status == "failed"
        assert "one order" in (task.error or {}).get("detail", "")


def test_an_agent_that_calls_itself_is_stopped_at_a_depth(tmp_path: Path) -> None:
    def agent_mirror(payload: Any, context: Context) -> Any:
        try:
            return 1 + context.call("mirror", None, budgetCents=0)
        except errors.Invalid:
            return 0

    with world(tmp_path, agent_mirror) as made:
        assert made.settle(made.dispatch("mirror")).result == str(limits.CHILD_DEPTH)


def test_a_death_before_the_first_charge_costs_nothing(tmp_path: Path) -> None:
    def agent_fragile(payload: Any, context: Context) -> Any:
        if context.attempt == 1:
            raise Killed
        return "second"

    with world(tmp_path, agent_fragile) as made:
        task = made.settle(made.dispatch("fragile"))
        assert (task.result, task.charged, task.attempts) == ('"second"', 0, 2)
