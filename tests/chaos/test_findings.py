"""What the battery has found, each once more and small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from emulators.layout import Layout
from shared import admission, agent, budgets, config, errors, ledgers, orders, runtime, sweeper
from shared.clock import SECOND
from shared.runtime import Services
from shared.storage.google.firestore import FirestoreStore
from shared.storage.sqlite.store import EmbeddedStore
from shared.storage.store import Patch, Put, Query, Write
from shared.tasks import commits, record
from shared.tasks.record import Task
from tests.chaos.proxy import Fault, Proxy

ORDER = {"payload": None, "account": "a", "budgetCents": 100_000, "idempotencyKey": "k"}


class Store(EmbeddedStore):
    """One that refuses to change some tasks, and counts what it commits."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.stuck: set[str] = set()
        self.commits: list[Sequence[Write]] = []

    def commit(self, writes: Sequence[Write]) -> int:
        if any(isinstance(write, Patch) and write.path in self.stuck for write in writes):
            raise errors.Unavailable("this one cannot be changed")
        self.commits.append(writes)
        return super().commit(writes)


class World:
    """Services on a store of that kind, and the embedded queue."""

    def __init__(self, folder: Path) -> None:
        environment = {"BACKEND": "embedded", "EMBEDDED_PATH": str(folder / "bus.db")}
        self.store = Store(folder / "zantara.db")
        self.services = Services(config.load(environment), store=lambda _: self.store)

    def account(self, cents: int) -> None:
        """An account `a`."""
        account = ledgers.Account(id="a", limit=cents * 10_000, window="total")
        budgets.put_account(self.services, account)

    def task(self, number: int, **fields: Any) -> Task:
        """A queued task that is due."""
        now = self.services.now()
        given = {"deadline": now + 3600 * SECOND, "budget": 1, "held": 1, "wake_at": now} | fields
        made = Task(id=f"{number:032x}", agent="light", max_attempts=5, **given)
        return commits.create(self.services, made)[0]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty one, which is also the current one."""
    made = World(tmp_path)
    with runtime.using(made.services):
        yield made


def test_a_task_that_cannot_be_moved_holds_up_no_other(world: World) -> None:
    for number in range(3):
        world.task(number)
    world.store.stuck = {record.path(f"{0:032x}")}
    assert sweeper.sweep(world.services) == 2


def test_a_sweep_that_can_move_nothing_says_so(world: World) -> None:
    world.store.stuck = {world.task(number).path for number in range(sweeper.FAILURES)}
    with pytest.raises(errors.Unavailable):
        sweeper.sweep(world.services)


def test_a_sweep_that_comes_second_settles_nothing_again(world: World) -> None:
    world.account(100)
    budgets.open_purse(world.services, "a", 10, 10)
    [ledger] = world.store.query(Query(collection=ledgers.LEDGERS))
    found = ledgers.ledger(ledger)
    assert found
    past = {f"purses.{name}.expiry": 1 for name in found.purses} | {"wakeAt": 1}
    world.store.commit([Patch(found.path, past, found.version)])
    [due] = budgets.due_ledgers(world.services)
    budgets.settle(world.services, due)
    before = len(world.store.commits)
    budgets.settle(world.services, due)
    assert len(world.store.commits) == before


def test_a_redelivered_run_that_was_never_admitted_is_not_claimed(world: World) -> None:
    """Its first delivery died between the commit that named a lapsed purse, and the look at it."""
    world.account(10)
    this = agent.Agent(name="light", work=lambda *_: None, cost=1, lease=60, max_attempts=5)
    lapsed(world, asked(world))
    world.account(0)  # it has no room any more
    begun = agent._begin(world.services, this, ORDER)
    assert (begun.status, begun.charged) == ("failed", 0)


def test_a_limit_that_another_clock_put_into_yesterdays_window_binds_today(world: World) -> None:
    """Around midnight the process that changes an account may be in another window than this."""
    account = ledgers.Account(id="a", limit=1000, window="day")
    budgets.put_account(world.services, account)
    budgets.open_purse(world.services, "a", 100, 100)
    behind = Services(
        world.services.config,
        store=lambda _: world.store,
        now=lambda: world.services.now() - 24 * 3600 * SECOND,
    )
    budgets.put_account(behind, replace(account, limit=150))
    with pytest.raises(errors.BudgetExceeded) as refused:
        budgets.open_purse(world.services, "a", 100, 100)
    assert refused.value.members["limitCents"] == 0.015
    assert budgets.get_account(world.services, "a")[1].limit == 150


def test_an_account_as_it_was_before_its_change_does_not_undo_that(world: World) -> None:
    """A process that has read it before goes on with a ledger that knows the new limit."""
    world.account(100)
    old = ledgers.account(world.store.get("accounts/a"))
    world.account(10)
    ledger = ledgers.ledger(world.store.get("ledgers/a@total"), old)
    assert ledger
    assert ledger.limit == 100_000


def test_one_sweep_settles_the_purses_of_however_many_accounts(world: World) -> None:
    made = ledgers.Ledger(path="", account="", limit=9, ceiling=9)
    made = made.opened("purse", ledgers.Purse(grant=9, expiry=1))
    for number in range(250):
        path = f"ledgers/{number}@total"
        world.store.commit([Put(path, replace(made, path=path, account=str(number)).fields())])
    sweeper.sweep(world.services)
    assert list(budgets.due_ledgers(world.services)) == []


def test_a_store_slower_than_a_purse_lasts_does_not_drain_the_account(world: World) -> None:
    world.account(1000)
    slow = Services(replace(world.services.config, purse_seconds=0), store=lambda _: world.store)
    with pytest.raises(errors.Unavailable):
        admission.place(slow, asked(world))
    [ledger] = budgets.due_ledgers(world.services)
    assert len(ledger.purses) == 1 + admission.MOVES


@pytest.mark.google
def test_a_listener_that_is_refused_leaves_the_document_as_it_stands(emulators: Layout) -> None:
    with Proxy(emulators.firestore_host) as proxy:
        store = FirestoreStore("findings", "(default)", proxy.host)
        refused = Fault(when="before", code=grpc.StatusCode.INTERNAL)
        proxy.plan = lambda call: refused if call.method == "Listen" else None
        assert store.wait("things/none", lambda document: document.version > 0, 1).version == 0


def asked(world: World, **fields: Any) -> Task:
    """The task of `ORDER`, with other fields."""
    return orders.task(world.services, {**ORDER, **fields}, agent="light")


def lapsed(world: World, task: Task) -> Task:
    """The task, made in a purse that had expired by then."""
    held = admission.hold(world.services, task)
    return commits.create(world.services, replace(held, purse_expiry=1))[0]
