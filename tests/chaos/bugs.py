"""Seeded bugs: what the battery must catch, each one change to the real code."""

from __future__ import annotations
import __future__

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from unittest import mock

from shared import admission, budgets, children, context, push, steps, sweeper
from shared.tasks import commits, transitions
from tests.chaos import world

COUNTS = """live = _total(services, name, still_open=True)
        if live.read_at <= purse.expiry:
            continue
        """
EXPIRED = """if purse.expiry >= ledger.read_at:
            continue
        """
SUMS = "ended = _total(services, name, still_open=False)"


@dataclass(frozen=True)
class Bug:
    """One change to one function."""

    name: str
    about: str  # what the changed code does
    home: ModuleType | type
    function: str
    old: str  # occurs once in it
    new: str

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within it, the code has this bug."""
        original = getattr(self.home, self.function)
        source = textwrap.dedent(inspect.getsource(original))
        if source.count(self.old) != 1:
            raise ValueError(f"{self.name}: {self.function} has changed: mend this bug")
        flags = __future__.annotations.compiler_flag
        code = compile(source.replace(self.old, self.new), self.name, "exec", flags, True)
        made: dict[str, Any] = {}
        exec(code, original.__globals__, made)
        with mock.patch.object(self.home, self.function, made[self.function]):
            yield


def all_bugs() -> list[Bug]:
    """Every one."""
    return [Bug(*each) for each in (*FENCES, *PURSES, *MONEY, *SWEEPS)]


FENCES = (
    (
        "no fence",
        "an attempt that lost its task may end it",
        transitions,
        "fence",
        "if (current.attempts, current.status) != (known.attempts, known.status):",
        "if False:",
    ),
    (
        "no precondition",
        "a commit changes whatever stands there, at any version",
        commits,
        "move",
        "own = _patch(before, after)",
        "now = services.store.get(before.path).version; "
        "own = _patch(replace(before, version=now), after)",
    ),
    (
        "terminal may change",
        "a task that has ended can be cancelled",
        commits,
        "cancel",
        "if current.terminal:",
        "if False:",
    ),
    (
        "lease ignored",
        "a delivery takes the task from a running attempt",
        transitions,
        "claimed",
        "now < (task.lease_until or 0)",
        "False",
    ),
    (
        "own commit not recognised",
        "a commit that conflicts with itself counts as somebody else's",
        commits,
        "move",
        "if current is None or current.op != after.op:",
        "if True:",
    ),
    (
        "replay not checked",
        "a key may be used again for something else",
        commits,
        "replayed",
        "if current.fingerprint != task.fingerprint:",
        "if False:",
    ),
    (
        "acknowledge before commit",
        "a push is acknowledged though its commit failed",
        push,
        "_handled",
        "if error.retryable or error.status >= 500:",
        "if False:",
    ),
    (
        "running task published",
        "a dispatcher sends a task on that an attempt owns",
        world.module("dispatch"),
        "_publish",
        'if task.status != "queued":',
        "if task.terminal:",
    ),
)

PURSES = (
    (
        "purse without expiry check",
        "a task counts as admitted however late it named its purse",
        admission,
        "admitted",
        "if (task.held_at or task.version) < (task.purse_expiry or 0):",
        "if True:",
    ),
    (
        "sweep admits unchecked",
        "the sweep publishes a task whose money is not held",
        sweeper,
        "_move_on",
        "task = admission.admitted(services, task)",
        "pass",
    ),
    (
        "race for a late task lost",
        "a dispatcher takes a task for admitted that the sweep has moved",
        admission,
        "place",
        "return secured(services, created), False",
        "return created, False",
    ),
    (
        "no compare-and-set",
        "a ledger is written over whatever it has become",
        budgets,
        "_changed",
        "after.fields(), before.version",
        "after.fields(), services.store.get(path).version",
    ),
    (
        "increment without guard",
        "what a purse has cost is added again when its commit is repeated",
        budgets,
        "settle",
        "sum(closed[name] for name in same.keys() & closed.keys())",
        "sum(closed.values())",
    ),
    (
        "settles early",
        "a purse is settled while tasks may still join it",
        budgets,
        "_counted",
        EXPIRED + COUNTS,
        COUNTS.partition("\n")[0] + "\n        ",
    ),
    (
        "sums before it counts",
        "a task that ends meanwhile is in neither",
        budgets,
        "_counted",
        COUNTS + SUMS,
        f"{SUMS}\n        {COUNTS}",
    ),
    (
        "shrink may grow",
        "a purse grows to what its tasks hold, the late ones too",
        budgets,
        "settle",
        "min(same[name].grant, shrunk[name])",
        "shrunk[name]",
    ),
    (
        "close sums every task",
        "a task that named the purse too late is paid for twice",
        budgets,
        "_counted",
        "closed[name] = ended.sum",
        "closed[name] = ended.sum + _total(services, name, still_open=True).sum",
    ),
    (
        "hold given back twice",
        "a creation that was sent twice is taken for another's, its money handed out again",
        admission,
        "place",
        "if created.created_at != named.created_at:",
        "if True:",
    ),
    (
        "purse known by name alone",
        "a slow sweep closes a purse that was opened again",
        budgets,
        "settle",
        "if name in ledger.purses and purse.expiry == ledger.purses[name].expiry",
        "if name in ledger.purses",
    ),
)

MONEY = (
    (
        "retry charges nothing",
        "only the first attempt is charged",
        transitions,
        "claimed",
        "cost = 0 if task.resumed else cost",
        "cost = 0 if task.attempts else cost",
    ),
    (
        "retry charges twice",
        "a second attempt is charged double",
        transitions,
        "claimed",
        "cost = 0 if task.resumed else cost",
        "cost = 0 if task.resumed else 2 * cost if task.attempts else cost",
    ),
    (
        "budget not checked",
        "an attempt begins that the budget does not cover",
        transitions,
        "_refusal",
        "if task.charged + cost > task.budget:",
        "if False:",
    ),
    (
        "deadline not checked",
        "an attempt begins after the deadline",
        transitions,
        "_refusal",
        "if now >= task.deadline:",
        "if False:",
    ),
    (
        "held is not released",
        "an ended task goes on holding its whole budget",
        transitions,
        "ended",
        "held=task.charged,",
        "held=task.held,",
    ),
    (
        "charge not committed",
        "work begins whose charge is only in memory",
        context.Context,
        "charge",
        "self._advance(lambda task: transitions.charged(task, charge.micros))",
        "self.task = transitions.charged(self.task, charge.micros)",
    ),
    (
        "step forgotten",
        "a step that is done runs again",
        steps,
        "done",
        "return name in _kept(task)",
        "return False",
    ),
    (
        "child refunds everything",
        "a parent gets back what its child has spent",
        transitions,
        "child_ended",
        'entry["budget"] - child.charged',
        'entry["budget"]',
    ),
)

SWEEPS = (
    (
        "publish before commit",
        "the sweep publishes a task as it was, and commits then",
        sweeper,
        "_publish",
        "task = commits.move(services, before, after)\n    publish.to_agent(services, task)",
        "publish.to_agent(services, before)\n    task = commits.move(services, before, after)",
    ),
    (
        "children made by a commit of their own",
        "a parent waits for children that a crash has prevented",
        children,
        "suspend",
        "parent = commits.move(services, parent, after, *puts)",
        "parent = commits.move(services, parent, after); services.store.commit(puts)",
    ),
    (
        "wakeAt dropped on requeue",
        "nobody looks after a task whose attempt has failed",
        transitions,
        "requeued",
        "wake_at=min(task.deadline, now + int(pause * SECOND)),",
        "wake_at=None,",
    ),
    (
        "callback dropped",
        "a task ends, and owes no callback",
        transitions,
        "ended",
        'callback={"state": "pending", "attempts": 0} if task.callback_url else None,',
        "callback=None,",
    ),
)
