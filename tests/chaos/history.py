"""The history: every commit of a run, replayed, and held against what must never break."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared import ledgers
from shared.ledgers import Ledger
from shared.storage.store import Document
from shared.tasks import record
from shared.tasks.record import Task
from tests.chaos import invariants


@dataclass(frozen=True, kw_only=True)
class Change:
    """A document as a commit left it; `data` None: deleted."""

    path: str
    version: int
    data: Mapping[str, Any] | None


@dataclass(frozen=True)
class Hold:
    """What a task takes of its ledger, through a purse that some commit named."""

    ledger: str
    purse: str
    micros: int
    open: bool
    named_at: int  # that commit
    expiry: int

    @property
    def admitted(self) -> bool:
        """The commit came before the purse's expiry."""
        return self.named_at < self.expiry


@dataclass
class History:
    """Replays changes; `violations` says what broke, `most` what an account ever had admitted."""

    violations: list[str] = field(default_factory=list)
    commits: int = 0  # of single documents
    tasks: dict[str, Task] = field(default_factory=dict)  # by id
    ledgers: dict[str, Ledger] = field(default_factory=dict)  # by path
    most: Counter[str] = field(default_factory=Counter)  # micros by ledger
    over: int = 0  # micros: the most by which a ledger or a task was ever over its limit
    _holds: dict[str, Hold] = field(default_factory=dict)
    _admitted: Counter[str] = field(default_factory=Counter)
    _in_purse: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def replay(self, changes: Iterable[Change]) -> History:
        """Applies all changes, which come in the order of their commits."""
        for change in changes:
            self.apply(change)
        return self

    def apply(self, change: Change) -> None:
        """One document's change."""
        self.commits += 1
        collection = change.path.partition("/")[0]
        if collection not in (record.COLLECTION, ledgers.LEDGERS):
            return
        if change.data is None:
            self._note(change, ["it was deleted"])
            return
        document = Document(path=change.path, data=change.data, version=change.version)
        if collection == record.COLLECTION:
            task = record.from_document(document)
            assert task
            self._note(change, invariants.document(document))
            self._task(change, task)
        else:
            ledger = ledgers.ledger(document)
            assert ledger
            self._ledger(change, ledger)

    def _note(self, change: Change, problems: Iterable[str]) -> None:
        self.violations += [f"{change.path} at {change.version}: {each}" for each in problems]

    def _task(self, change: Change, task: Task) -> None:
        before = self.tasks.get(task.id)
        self._note(change, invariants.task(task))
        self._note(change, invariants.task_change(before, task))
        if before and task.held > before.held:
            self._note(change, [f"it held {before.held}, and holds {task.held}"])
        self.over = max(self.over, task.charged - task.budget)
        self.tasks[task.id] = task
        if task.purse and task.ledger:
            self._hold(change, task, before)

    def _hold(self, change: Change, task: Task, before: Task | None) -> None:
        old = self._holds.get(task.id)
        hold = Hold(
            ledger=task.ledger or "",
            purse=task.purse or "",
            micros=task.held,
            open=task.open,
            named_at=old.named_at if old and old.purse == task.purse else task.version,
            expiry=task.purse_expiry or 0,
        )
        if old:
            self._count(old, -1)
            self._in_purse[old.purse].discard(task.id)
        self._count(hold, 1)
        self._in_purse[hold.purse].add(task.id)
        self._holds[task.id] = hold
        if task.attempts and not hold.admitted:
            self._note(change, ["it runs, and was never admitted"])
        if hold.admitted:
            self._note(change, self._over(hold))

    def _count(self, hold: Hold, sign: int) -> None:
        self._admitted[hold.ledger] += sign * hold.micros if hold.admitted else 0

    def _over(self, hold: Hold) -> Iterable[str]:
        """What is wrong with a ledger once it has this hold."""
        ledger, admitted = self.ledgers.get(hold.ledger), self._admitted[hold.ledger]
        if ledger is None:
            yield f"there is no {hold.ledger}"
            return
        if admitted > ledger.ceiling:
            yield f"{admitted} are admitted, {ledger.ceiling} are allowed"
        self.over = max(self.over, admitted - ledger.ceiling)
        self.most[hold.ledger] = max(self.most[hold.ledger], admitted)
        purse, held = ledger.purses.get(hold.purse), self._held(hold.purse)
        if purse and held > purse.grant:
            yield f"its purse holds {held} of {purse.grant}"
        if not purse and hold.open:
            yield "it is open, and its purse is closed"

    def _held(self, purse: str) -> int:
        return sum(hold.micros for hold in self._members(purse))

    def _members(self, purse: str) -> list[Hold]:
        holds = (self._holds[task_id] for task_id in self._in_purse[purse])
        return [hold for hold in holds if hold.admitted]

    def _ledger(self, change: Change, ledger: Ledger) -> None:
        before = self.ledgers.get(ledger.path)
        self._note(change, invariants.ledger(ledger))
        self._note(change, invariants.ledger_change(before, ledger))
        self._note(change, self._settled(before, ledger) if before else ())
        self.ledgers[ledger.path] = ledger

    def _settled(self, before: Ledger, after: Ledger) -> Iterable[str]:
        """What is wrong with purses that were shrunk or closed, by their tasks at that moment."""
        for name in before.purses.keys() & after.purses.keys():
            held, purse = self._held(name), after.purses[name]
            if held > purse.grant:
                yield f"purse {name} shrank to {purse.grant}, and holds {held}"
        closed = before.purses.keys() - after.purses.keys()
        cost = sum(self._held(name) for name in closed)
        if after.spent - before.spent != cost:
            yield f"{after.spent - before.spent} more are spent, the closed purses cost {cost}"
        for name in closed:
            if any(hold.open for hold in self._members(name)):
                yield f"purse {name} was closed too early"


@dataclass(frozen=True)
class Ended:
    """What a run came to."""

    statuses: Mapping[str, int]
    attempts: int
    micros: int


def ended(history: History) -> Ended:
    """Counts the tasks as the last commit left them."""
    tasks = history.tasks.values()
    return Ended(
        statuses=Counter(task.status for task in tasks),
        attempts=sum(task.attempts for task in tasks),
        micros=sum(task.charged for task in tasks),
    )


def held(history: History) -> int:
    """Micros that open tasks hold without a purse, or that purses hold."""
    tasks = sum(task.held for task in history.tasks.values() if task.open and not task.purse)
    return tasks + sum(ledger.granted for ledger in history.ledgers.values())


def at_rest(history: History) -> list[str]:
    """What is wrong once everything should have drained."""
    wrong = [
        f"tasks/{task.id}: {problem}"
        for task in history.tasks.values()
        for problem in invariants.resting(task)
    ]
    costs: Counter[str] = Counter()
    for task in history.tasks.values():
        costs[task.ledger or ""] += task.charged
    for path, ledger in history.ledgers.items():
        if ledger.purses:
            wrong.append(f"{path}: purses are open: {dict(ledger.purses)}")
        if ledger.spent != costs[path]:
            wrong.append(f"{path}: {ledger.spent} spent, its tasks cost {costs[path]}")
    return wrong
