"""The watch: sees every commit as it lands, and every attempt's work as it begins."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared import ledgers
from shared.ledgers import Ledger
from shared.storage.store import Document, Store, Write
from shared.tasks import record
from shared.tasks.record import Task
from tests.chaos import invariants


@dataclass
class Watch:
    """What has gone wrong so far, one sentence each."""

    violations: list[str] = field(default_factory=list)
    tasks: dict[str, Task] = field(default_factory=dict)
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    worked_on: set[tuple[str, int]] = field(default_factory=set)

    def landed(self, store: Store, writes: Sequence[Write], version: int) -> None:
        """A commit has been made."""
        seen = [store.get(write.path) for write in writes]
        for document in seen:
            self.saw(document)
        for path in {task.ledger for task in self.tasks.values() if task.ledger}:
            self._check_spending(path)

    def saw(self, document: Document) -> None:
        """A document as a commit left it."""
        collection = document.path.partition("/")[0]
        problems: list[str] = []
        if collection == record.COLLECTION:
            task = record.from_document(document)
            assert task
            problems += invariants.task(task)
            problems += _ended_by(task)
            problems += invariants.task_change(self.tasks.get(task.path), task)
            self.tasks[task.path] = task
        elif collection == ledgers.LEDGERS:
            ledger = ledgers.ledger(document)
            assert ledger
            problems += invariants.ledger(ledger)
            problems += invariants.ledger_change(self.ledgers.get(ledger.path), ledger)
            self.ledgers[ledger.path] = ledger
        self.violations += [f"{document.path}: {problem}" for problem in problems]

    def worked(self, store: Store, task: Task, cost: int) -> None:
        """An attempt's own work begins: its charge, in micros, must be in the store by now.

        One that goes on with the work of the one before was paid for with that.
        """
        stored = record.from_document(store.get(task.path))
        runs, attempt = stored.runs if stored else {}, str(task.attempts)
        due = 0 if "paused" in runs.get(str(task.attempts - 1), {}) else cost
        if runs.get(attempt, {}).get("charged") != due:
            said = f"attempt {attempt} works, and was not charged {due}: {runs.get(attempt)}"
            self.violations.append(f"{task.path}: {said}")
        if (task.id, task.attempts) in self.worked_on:
            self.violations.append(f"{task.path}: attempt {attempt} works twice for one charge")
        self.worked_on.add((task.id, task.attempts))

    def paid(self, store: Store, task: Task) -> None:
        """Work begins that a charge of the run was to pay for."""
        stored = record.from_document(store.get(task.path))
        run = stored.runs.get(str(task.attempts), {}) if stored else {}
        if run.get("charged", 0) < task.runs[str(task.attempts)]["charged"]:
            self.violations.append(f"{task.path}: work begins that was not charged")

    def stepped(self, store: Store, task: Task, name: str) -> None:
        """A step's work begins, which must not be done yet."""
        stored = record.from_document(store.get(task.path))
        if stored and "result" in (stored.steps or {}).get(name, {}):
            self.violations.append(f"{task.path}: the step {name} is done, and runs again")

    def _check_spending(self, path: str) -> None:
        """What admitted tasks hold or cost never exceeds what their account may spend.

        Nor do those of an open purse exceed its grant, or hold anything in one that is closed.
        """
        ledger = self.ledgers[path]
        used: Counter[str] = Counter()
        held: Counter[str] = Counter()
        for task in self.tasks.values():
            if task.ledger == path and task.purse and invariants.admitted(task):
                used[task.purse] += task.held
                held[task.purse] += task.held if task.open else 0
        if used.total() > ledger.ceiling:
            self.violations.append(f"{path}: {used.total()} admitted, {ledger.ceiling} allowed")
        for name in used:
            purse = ledger.purses.get(name)
            if purse and used[name] > purse.grant:
                self.violations.append(f"{path}: purse {name} holds {used[name]} of {purse.grant}")
            if not purse and held[name]:
                self.violations.append(f"{path}: purse {name} is closed, and holds {held[name]}")


def _ended_by(task: Task) -> list[str]:
    """A result of the agent `probe` names the attempt that it comes from: it must be the last."""
    result = json.loads(task.result or "null")
    attempt = result.get("attempt", task.attempts) if isinstance(result, dict) else task.attempts
    return [] if attempt == task.attempts else [f"it was ended by its attempt {attempt}"]
