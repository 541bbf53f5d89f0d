"""The auditor: reads a store, changes nothing, and names what the design forbids.

It may look at a live database: a document is judged by itself as it was read, a ledger together
with its tasks only where it stood still while they were read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from shared import ledgers
from shared.ledgers import Ledger
from shared.storage.store import Document, Query, Store
from shared.tasks import record
from shared.tasks.record import Task
from tests.chaos import invariants

PAGE = 300  # documents a query
ROUNDS = 3  # scans, for ledgers that changed meanwhile

Progress = Callable[[str], None]
Child = tuple[str, int, str | None, int | None]  # key, budget; once closed its state and cost


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What the auditor may take for granted."""

    at_rest: bool = False  # nothing is under way: no live task, no open purse, nothing due
    never_lowered: bool = False  # no limit was ever lowered, so a ledger never exceeds its own
    complete: bool = True  # no task was ever deleted, so a ledger's costs add up to `spent`


@dataclass
class Books:
    """What the tasks say about the ledgers, and about each other."""

    held: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))  # by purse
    live: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    ended: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    links: set[tuple[str, str, str]] = field(default_factory=set)  # (old, new, who says so)
    children: dict[str, tuple[str, Child]] = field(default_factory=dict)  # by id, as they say
    named: dict[str, tuple[str, Child]] = field(default_factory=dict)  # by id, as parents say
    costs: dict[str, int] = field(
        default_factory=lambda: defaultdict(int)
    )  # of children, by parent
    charged: dict[str, int] = field(default_factory=dict)  # of parents whose children have ended
    tasks: int = 0

    def add(self, task: Task) -> None:
        """Counts a task in."""
        self.tasks += 1
        if task.redrive_of:
            self.links.add((task.redrive_of, task.id, "new"))
        if task.redriven_as:
            self.links.add((task.id, task.redriven_as, "old"))
        if task.parent:
            end = (None, None) if task.open else (task.status, task.charged)
            self.children[task.id] = task.parent, (task.parent_key or "", task.budget, *end)
        for key, child in (task.children or {}).items():
            told = key, child["budget"], child.get("status"), child.get("cost")
            self.named[child["taskId"]] = task.id, told
        if task.ledger and task.purse:
            self._add_money(task, (task.ledger, task.purse))

    def _add_money(self, task: Task, purse: tuple[str, str]) -> None:
        if not task.open:
            self.ended[purse] += task.held
        if invariants.admitted(task):
            self.held[purse] += task.held
            if task.open:
                self.live[purse].append(task.id)


def audit(
    store: Store,
    terms: Terms | None = None,
    *,
    page: int = PAGE,
    progress: Progress = lambda _: None,
) -> list[str]:
    """Every violation found, one sentence each; raises `errors.Unavailable` as the store does."""
    terms = terms or Terms()
    found: dict[str, None] = {}  # in order, once each
    unsettled: dict[str, int] | None = None  # ledgers still to be judged; None: all
    for _ in range(ROUNDS):
        before = _ledgers(store, page)
        books, problems = _scan(store, terms, page, progress)
        after = _ledgers(store, page)
        found |= dict.fromkeys(problems)
        if unsettled is None:
            found |= dict.fromkeys([*_links(store, books), *_families(store, books)])
        moving = {
            path: ledger.version
            for path, ledger in after.items()
            if path not in before or before[path].version != ledger.version
        }
        for path, ledger in after.items():
            if path not in moving and (unsettled is None or path in unsettled):
                found |= dict.fromkeys(_ledger(ledger, books, terms))
        unsettled = moving
        if not unsettled:
            break
    for path in unsettled or ():
        progress(f"{path} changes too fast to be judged together with its tasks")
    return list(found)


def documents(store: Store, collection: str, page: int = PAGE) -> Iterator[Document]:
    """Every document of a collection, page by page."""
    after = None
    while True:
        found = store.query(Query(collection=collection, limit=page, after=after))
        yield from found
        if len(found) < page:
            return
        after = None, found[-1].id


def _ledgers(store: Store, page: int) -> dict[str, Ledger]:
    read = map(ledgers.ledger, documents(store, ledgers.LEDGERS, page))
    return {ledger.path: ledger for ledger in read if ledger}


def _scan(store: Store, terms: Terms, page: int, progress: Progress) -> tuple[Books, list[str]]:
    books, problems = Books(), []
    for document in documents(store, record.COLLECTION, page):
        task = record.from_document(document)
        if task is None:
            continue
        books.add(task)
        problems += [f"{task.path}: {problem}" for problem in invariants.task(task)]
        problems += [f"{task.path}: {problem}" for problem in invariants.document(document)]
        if terms.at_rest:
            problems += [f"{task.path}: {problem}" for problem in invariants.resting(task)]
        if books.tasks % (10 * page) == 0:
            progress(f"{books.tasks} tasks read, {len(problems)} problems")
    return books, problems


def _ledger(ledger: Ledger, books: Books, terms: Terms) -> Iterator[str]:
    """A ledger that stood still, against the tasks that name it."""
    for problem in invariants.ledger(ledger):
        yield f"{ledger.path}: {problem}"
    if terms.never_lowered and ledger.spent + ledger.granted > ledger.limit:
        yield f"{ledger.path}: {ledger.spent} spent and {ledger.granted} granted of {ledger.limit}"
    for name, purse in ledger.purses.items():
        held = books.held[ledger.path, name]
        if held > purse.grant:
            yield f"{ledger.path}: the tasks of purse {name} hold {held} of its {purse.grant}"
    for (path, name), tasks in books.live.items():
        if path == ledger.path and name not in ledger.purses:
            yield f"{ledger.path}: purse {name} is closed, but holds for {', '.join(tasks)}"
    settled = sum(
        held
        for (path, name), held in books.ended.items()
        if path == ledger.path and name not in ledger.purses
    )
    if ledger.spent < settled or (terms.complete and ledger.spent > settled):
        yield f"{ledger.path}: spent is {ledger.spent}, but its closed purses' tasks cost {settled}"
    if terms.at_rest and ledger.purses:
        yield f"{ledger.path}: at rest, but {len(ledger.purses)} purses are open"


def _links(store: Store, books: Books) -> Iterator[str]:
    """A redrive is written on both sides, by one commit; who read only one looks again."""
    for old, new, who in sorted(books.links):
        if (old, new, "old" if who == "new" else "new") in books.links:
            continue
        first, second = (record.from_document(store.get(record.path(id_))) for id_ in (old, new))
        if first and second and (first.redriven_as, second.redrive_of) == (new, old):
            continue
        yield f"{record.path(old)}: redriven as {new}, says only the {who} one"


def _families(store: Store, books: Books) -> Iterator[str]:
    """A child and its parent change in one commit; who read them apart looks again."""
    for id_ in sorted(books.children.keys() | books.named.keys()):
        if books.children.get(id_) == books.named.get(id_):
            continue
        parent_id, _ = books.children.get(id_) or books.named[id_]
        again = Books()
        for _ in range(ROUNDS):
            again = Books()
            for each in (parent_id, id_, parent_id):
                task = record.from_document(store.get(record.path(each)))
                if task is not None:
                    again.add(task)
            if again.children.get(id_) == again.named.get(id_):
                break
        else:
            told = again.children.get(id_), again.named.get(id_)
            yield f"{record.path(id_)}: a child that says {told[0]}, its parent {told[1]}"
