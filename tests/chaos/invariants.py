"""What must hold of one document, and of one commit: the design's invariants as sentences."""

from __future__ import annotations

from collections.abc import Iterator

from shared.ledgers import Ledger
from shared.storage import shards
from shared.storage.store import Document
from shared.tasks.record import STATUSES, Task

CONSTANT = (
    *("agent", "owner", "payload", "deadline", "budget", "mode", "idempotency_key", "fingerprint"),
    *("account", "created_at", "redrive_of"),
)
FROZEN = ("status", "result", "error", "attempts", "ended_at", "ledger", "purse", "steps", "state")
SETTLED = ("charged", "held", "runs", "children", "pending")  # once no child is open either


def admitted(task: Task) -> bool:
    """Its money is held: an attempt has begun, or its purse was named before that one's expiry."""
    return bool(task.attempts) or (task.held_at or task.version) < (task.purse_expiry or 0)


def given(task: Task) -> int:
    """What its children have of its money: the budget of an open one, the cost of any other."""
    return sum(child.get("cost", child["budget"]) for child in (task.children or {}).values())


def task(task: Task) -> Iterator[str]:
    """What is wrong with a task as it stands."""
    if task.status not in STATUSES:
        yield f"its state is {task.status!r}"
    yield from _money(task)
    yield from _attempts(task)
    yield from _due(task)
    yield from _children(task)
    if task.terminal and task.ended_at is None:
        yield "it has ended, nobody knows when"
    if not task.terminal and (task.ended_at is not None or task.result is not None):
        yield f"it is {task.status}, and has an end or a result"
    if task.status == "succeeded" and task.error:
        yield f"it succeeded, and has the error {task.error}"
    if task.status in ("failed", "expired") and not task.error:
        yield f"it {task.status}, and nobody knows why"
    if task.status != "succeeded" and task.result is not None:
        yield f"it {task.status}, and has a result"
    named = (task.ledger, task.purse, task.purse_expiry)
    if any(each is None for each in named) != (task.account is None):
        yield f"its account is {task.account}, its ledger, purse and expiry are {named}"


def document(document: Document) -> Iterator[str]:
    """What is wrong with what only a task's document shows."""
    found, made = document.data.get(shards.FIELD), shards.of(document.id)
    if found != made:
        yield f"its shard is {found}, and its id makes {made}: no sharded query finds it"


def resting(task: Task) -> Iterator[str]:
    """What is wrong with it once nothing is under way."""
    if task.open:
        yield f"at rest, but {task.status}, and {task.pending or 0} children are open"
    if task.owes_callback:
        yield "at rest, but its callback is owed"
    if task.wake_at is not None:
        yield "at rest, but due"


def ledger(ledger: Ledger) -> Iterator[str]:
    """What is wrong with a ledger as it stands."""
    if ledger.spent < 0 or any(purse.grant < 0 for purse in ledger.purses.values()):
        yield f"negative: {ledger.spent} spent, purses {dict(ledger.purses)}"
    if ledger.spent + ledger.granted > ledger.ceiling:
        yield f"{ledger.spent} spent and {ledger.granted} granted exceed {ledger.ceiling}"
    if (ledger.wake_at is None) != (not ledger.purses):
        yield f"due at {ledger.wake_at} with {len(ledger.purses)} open purses"


def task_change(before: Task | None, after: Task) -> Iterator[str]:
    """What is wrong with a commit that led from one to the other."""
    if before is None:
        if after.account and after.status == "running":
            yield "it was created running, with its money not admitted"
        return
    frozen = FROZEN if before.terminal else ()
    settled = () if before.open else SETTLED
    for name in (*CONSTANT, *frozen, *settled):
        if getattr(before, name) != getattr(after, name):
            yield f"{name} changed, as it was {before.status}"
    yield from _attempt_begun(before, after)
    yield from _told(before, after)
    if after.purse != before.purse and (before.attempts or admitted(before)):
        yield "it left a purse that holds its money"
    if before.redriven_as not in (None, after.redriven_as):
        yield "it was redriven twice"


def ledger_change(before: Ledger | None, after: Ledger) -> Iterator[str]:
    """What is wrong with a commit that led from one to the other."""
    ceiling = max(after.limit, before.ceiling if before else 0)
    if after.spent + after.granted > ceiling:
        yield f"{after.spent} spent and {after.granted} granted exceed {ceiling}"
    if before is None:
        return
    if after.spent < before.spent:
        yield f"spent fell from {before.spent} to {after.spent}"
    for name, purse in after.purses.items():
        if name in before.purses and purse.grant > before.purses[name].grant:
            yield f"the grant of purse {name} grew"


def _money(task: Task) -> Iterator[str]:
    if not 0 <= task.charged <= task.budget:
        yield f"{task.charged} charged of a budget of {task.budget}"
    if task.terminal and task.held != task.charged:
        yield f"it has ended, and holds {task.held}, with {task.charged} charged"
    if not task.terminal and task.held != task.budget:
        yield f"it is {task.status}, and holds {task.held} of its budget {task.budget}"
    if task.held_at and task.held_at > task.version:
        yield "its money is held from later on than its last change"


def _attempts(task: Task) -> Iterator[str]:
    if sorted(task.runs, key=int) != [str(number + 1) for number in range(task.attempts)]:
        yield f"{task.attempts} attempts, but runs {', '.join(task.runs) or 'none'}"
    charges = [run.get("charged", 0) for run in task.runs.values()]
    if sum(charges) != task.charged:
        yield f"its attempts' charges {charges} are not the {task.charged} charged"
    for number, run in task.runs.items():
        if run.get("startedAt", 0) >= task.deadline:
            yield f"attempt {number} began after its deadline"
        running = task.status == "running" and number == str(task.attempts)
        if ("endedAt" in run) == running:
            yield f"attempt {number} {'has ended' if running else 'never ended'}: {task.status}"
    if (task.lease_until is not None) != (task.status == "running"):
        yield f"it is {task.status}, and its lease ends at {task.lease_until}"
    if task.status == "running" and not task.attempts:
        yield "it runs without an attempt"


def _children(task: Task) -> Iterator[str]:
    open_ones = [child for child in (task.children or {}).values() if "status" not in child]
    if len(open_ones) != (task.pending or 0):
        yield f"{task.pending} children pending, but {len(open_ones)} have not ended"
    if task.open != (not task.terminal or bool(open_ones)):
        yield f"open is {task.open}: {task.status} with {len(open_ones)} open children"
    if task.status == "waiting" and not open_ones:
        yield "it waits for nobody"
    if task.status != "waiting" and open_ones and not task.terminal:
        yield f"it is {task.status}, and does not wait for its open children"
    if given(task) + sum(step["cost"] for step in (task.steps or {}).values()) > task.charged:
        yield f"it was charged {task.charged}, less than its children and its steps"


def _due(task: Task) -> Iterator[str]:
    owed = task.callback is not None
    if owed != (task.terminal and task.callback_url is not None):
        yield f"it is {task.status}, its callbackUrl {task.callback_url}, callback {task.callback}"
    if (task.wake_at is not None) != (task.open or task.owes_callback):
        yield f"it is {task.status}, and due at {task.wake_at}"
    if not task.terminal and (task.wake_at or 0) > task.deadline:
        yield f"due {(task.wake_at or 0) - task.deadline} µs after its deadline"


def _told(before: Task, after: Task) -> Iterator[str]:
    """Money goes to children, and comes back from them, in the commit that says so."""
    moved = given(after) - given(before)
    if before.children != after.children and after.charged - before.charged != moved:
        yield f"its children took {moved}, and it was charged {after.charged - before.charged}"
    for key, child in (before.children or {}).items():
        if "status" in child and child != (after.children or {}).get(key):
            yield f"child {key} was told, and changed"


def _attempt_begun(before: Task, after: Task) -> Iterator[str]:
    if after.attempts not in (before.attempts, before.attempts + 1):
        yield f"attempts went from {before.attempts} to {after.attempts}"
    told = after.children != before.children
    begun = after.attempts > before.attempts
    if after.charged > before.charged and not begun and before.status != "running":
        yield f"charged {after.charged - before.charged} with no attempt"
    if after.charged < before.charged and before.status != "running" and not told:
        yield f"given back {before.charged - after.charged} with no attempt"
    if begun and after.charged < before.charged:
        yield "an attempt began with money given back"
    if begun and before.account and not admitted(before):
        yield "an attempt began, with its money not admitted"
