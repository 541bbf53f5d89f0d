"""What an agent may do in its run: spend, remember, delegate, report; each fenced by the task."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, overload

from shared import children, errors, limits, money, steps, strictjson
from shared.clock import SECOND
from shared.runtime import Services
from shared.tasks import commits, transitions
from shared.tasks.record import Task

PROGRESS_PAUSE = SECOND  # microseconds between two writes of progress at least


@dataclass(frozen=True, eq=False)
class Charge:
    """Money that was charged before the work it pays for; good for one `Context.settle`."""

    micros: int
    what: str


class Continuation(BaseException):
    """Ends a delivery whose agent goes on in a fresh one; made by `Context.continue_later`."""

    def __init__(self, state: str) -> None:
        super().__init__()
        self.state = state


class Context:
    """The run at hand. Whoever lost its task is stopped at the next call: `errors.Fenced`.

    An agent's threads may share it.
    """

    def __init__(self, services: Services, task: Task, lease: float) -> None:
        self._services = services
        self._lease = int(lease * SECOND)
        self._whole = task.attempts == 1  # later ones find what earlier ones left in the store
        self._reported = 0
        self._calls = children.Names()
        self._charges: set[Charge] = set()  # not settled yet
        self._steps: set[str] = set()  # at work
        self._lock = threading.RLock()  # each commit starts from the version of the one before
        self.task = task

    @property
    def task_id(self) -> str:
        """The task's id."""
        return self.task.id

    @property
    def attempt(self) -> int:
        """1 at the first try; an agent runs at least once, so it may be more."""
        return self.task.attempts

    @property
    def trace_id(self) -> str:
        """What ties all hops of the task together in the logs."""
        return self.task.trace_id

    @property
    def deadline(self) -> float:
        """When the task expires, in Unix seconds."""
        return self.task.deadline / SECOND

    @property
    def remaining_seconds(self) -> float:
        """Until then."""
        return (self.task.deadline - self._services.now()) / SECOND

    @property
    def lease_seconds(self) -> float:
        """How long the attempt may go without a commit before another one may begin."""
        return self._lease / SECOND

    @property
    def budget_cents(self) -> int | float:
        """The task's whole budget."""
        return money.to_cents(self.task.budget)

    @property
    def remaining_cents(self) -> int | float:
        """What is left of it."""
        return money.to_cents(self.task.budget - self.task.charged)

    @property
    def state(self) -> Any:
        """What `continue_later` left for this delivery; None in the first."""
        state = self._known().state
        return None if state is None else strictjson.loads(state.encode())

    def charge(self, cents: float, what: str = "") -> Charge:
        """Spends before the paid work; raises `errors.BudgetExceeded` where it does not fit."""
        charge = Charge(_micros(cents), what)
        self._advance(lambda task: transitions.charged(task, charge.micros))
        self._charges.add(charge)
        return charge

    def settle(self, charge: Charge, cents: float) -> None:
        """Gives back what a charge did not use of its money: `cents` is what the work did cost.

        Raises ValueError where that is more than was charged, or the charge was settled before.
        """
        unused = _unused(charge.micros, cents)
        with self._lock:
            if charge not in self._charges:
                raise ValueError("the charge was settled before, or is not of this attempt")
            self._charges.remove(charge)
        if unused:
            self._advance(lambda task: transitions.charged(task, -unused))

    def step(self, name: str, function: Callable[[], Any], *, cost: float = 0) -> Any:
        """What `function` returned, now or in an earlier attempt: a step that is done stays done.

        Its cost in cents is charged before it runs; where that is the worst case, the function
        returns `steps.Paid(result, cents)`, and the commit that keeps the result gives the rest
        back. Where a process dies between the work and that commit, or the function raises, the
        outcome is unknown: it stays charged, and the step runs again. Only `raise steps.Unpaid()
        from error` gives all of it back, and raises `error`. Raises `steps.Invalid` for a name, a
        result or a number of steps out of bounds.
        """
        worst = _micros(cost)
        with self._lock:
            known = self._known()
            if steps.done(known, name):
                return steps.result(known, name)
            if name in self._steps:
                raise steps.Invalid(f"step {name}: it is running; each step has a name of its own")
            self._steps.add(name)
        try:
            return self._paid(name, function, worst)
        finally:
            self._steps.discard(name)

    def _paid(self, name: str, function: Callable[[], Any], worst: int) -> Any:
        """A step's result, once it is charged, done, kept and settled."""
        if worst:
            self._advance(lambda task: steps.begun(transitions.charged(task, worst), name, worst))
        value, unused = self._performed(name, function, worst)
        self._advance(
            lambda task: steps.kept(transitions.charged(task, -unused), name, value, worst - unused)
        )
        return value

    def _performed(self, name: str, function: Callable[[], Any], worst: int) -> tuple[Any, int]:
        """What a step's function returned, and the micros that it did not use."""
        try:
            outcome = function()
        except steps.Unpaid as unpaid:
            if worst:
                self._advance(lambda task: steps.begun(transitions.charged(task, -worst), name, 0))
            raise (unpaid.__cause__ or unpaid) from None
        except (children.Suspension, Continuation):
            if worst:  # it would be paid for again in the next delivery
                detail = "call children, and continue later, outside of paid steps"
                raise errors.Invalid(f"step {name}: {detail}") from None
            raise
        if isinstance(outcome, steps.Paid):
            return outcome.result, _unused(worst, outcome.cents)
        return outcome, 0

    def call(
        self,
        agent: str,
        payload: Any,
        *,
        budgetCents: float,  # noqa: N803 - as everywhere outside
        ttl: float | None = None,
    ) -> Any:
        """The result of a child task; raises `children.Failed` where it did not succeed.

        Its budget is carved out of this task's, and what it does not use comes back. Its deadline
        is `ttl` seconds from now, never later than this task's. While it runs this one occupies no
        instance: the agent's function is left, and called anew once the child has ended; what must
        not happen twice belongs in a `step`. Raises `errors.BudgetExceeded` where the budget does
        not fit, `errors.UnknownAgent`, or `errors.Invalid`.
        """
        [result] = self.gather([children.Call(agent, payload, budgetCents, ttl)])
        return result

    @overload
    def gather(self, calls: Sequence[children.Call]) -> list[Any]: ...
    @overload
    def gather(
        self, calls: Sequence[children.Call], *, return_exceptions: Literal[True]
    ) -> list[Any | children.Failed]: ...
    def gather(
        self, calls: Sequence[children.Call], *, return_exceptions: bool = False
    ) -> list[Any]:
        """The results of several child tasks that run at once, in the order of the calls.

        As `call`; with `return_exceptions` a child that did not succeed stands in the list as its
        `children.Failed`.
        """
        with self._lock:
            found = children.results(self._services, self._known(), self._calls, calls)
        for result in found:
            if isinstance(result, children.Failed) and not return_exceptions:
                raise result
        return found

    def progress(self, fraction: float, text: str = "") -> None:
        """Shows how far the work is, from 0 to 1; written at most once a second.

        It keeps the attempt's lease too, as every commit does.
        """
        if not 0 <= fraction <= 1:
            raise ValueError("fraction: must lie between 0 and 1")
        text = text[: limits.PROGRESS_TEXT].encode("utf-8", "replace").decode()
        with self._lock:
            now = self._services.now()
            if now - self._reported < PROGRESS_PAUSE:
                return
            self._reported = now
            shown = {"fraction": float(fraction), "text": text, "at": now}
            self._advance(lambda task: replace(task, progress=shown))

    def continue_later(self, state: Any = None) -> Continuation:
        """`raise context.continue_later(state)` goes on in a fresh delivery, with `context.state`.

        For work longer than one delivery may take: same task, deadline and budget, no fixed cost.
        Calls are counted from the first one on, as after a wait: those made before come first.
        Raises `errors.Invalid` for a state that is too large or no JSON.
        """
        try:
            text = strictjson.dumps(state)
        except ValueError as error:
            raise errors.Invalid(f"state: {error}") from None
        if len(text.encode()) > limits.STATE:
            raise errors.Invalid(f"state: at most {limits.STATE} bytes of JSON; keep steps")
        return Continuation(text)

    def _known(self) -> Task:
        """The task with what earlier attempts left; read once, and only where there was one."""
        with self._lock:
            self._check_deadline()
            if not self._whole:
                current = commits.get(self._services, self.task.id)
                if current.version != self.task.version:
                    raise _fenced()
                self.task, self._whole = current, True
            return self.task

    def _check_deadline(self) -> int:
        """The time; raises `errors.Expired` where it is up."""
        now = self._services.now()
        if now >= self.task.deadline:
            raise errors.Expired("the task's deadline has passed")
        return now

    def _advance(self, transition: Callable[[Task], Task]) -> None:
        """Commits a step of the run, which renews its lease."""
        with self._lock:
            now = self._check_deadline()
            lease_until = now + self._lease
            wake_at = min(lease_until, self.task.deadline)
            after = replace(transition(self.task), lease_until=lease_until, wake_at=wake_at)
            try:
                self.task = commits.move(self._services, self.task, after)
            except commits.Lost:
                raise _fenced() from None


def _fenced() -> errors.Fenced:
    return errors.Fenced("the task was taken from this attempt: stop")


def _micros(cents: float) -> int:
    try:
        return money.from_cents(cents)
    except ValueError as error:
        raise errors.Invalid(f"{cents!r}: {error}") from None


def _unused(charged: int, cents: float) -> int:
    """What is left of a charge, in micros; raises ValueError where it was not enough."""
    unused = charged - money.from_cents(cents)
    if unused < 0:
        raise ValueError(f"{cents} cents are more than the charge: charge the worst case first")
    return unused
