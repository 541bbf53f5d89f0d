"""Accounts and their purses: how a task holds money of an account with no write of its own.

A ledger grants a purse to a process (one compare-and-set); the process hands it out in memory; a
task's creation names its purse. A creation counts only if its commit came before the purse's
expiry, both by the server's clock, so after the expiry nothing can join and the sweep may settle.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from shared import errors, ledgers, log, money
from shared.clock import SECOND
from shared.ledgers import Account, Ledger, Purse
from shared.runtime import Services
from shared.storage import retry
from shared.storage.store import Filter, Put, Query, Total, pages
from shared.tasks import record

MARGIN = 0.2  # of a purse's life: so long before its end nothing more is handed out, or up to
# twice as long: processes that started together must not come back to the ledger together


@dataclass
class Open:
    """A purse in this process's hand."""

    name: str
    ledger: str
    owners: tuple[str, ...]  # who may use it; empty: every one
    expiry: int  # of the server's clock
    last: float  # of this process's monotonic clock: hand out nothing after
    grant: int
    left: int


class Purses:
    """The purses that one process has in hand: at most one an account."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._open: dict[str, Open] = {}

    def hold(self, services: Services, account: str, micros: int, owner: str = "") -> Open:
        """The purse that the budget of an owner's task was taken from.

        Raises `errors.UnknownAccount`, `errors.Forbidden`, or `errors.BudgetExceeded` where the
        account cannot hold it.
        """
        with self._of(account):  # who needs a purse waits for the one that opens it
            purse = self._open.get(account)
            if purse is None or purse.left < micros or time.monotonic() >= purse.last:
                want = _wanted(purse, micros)
                purse = open_purse(services, account, micros, want, owner)
                self._open[account] = purse
            _check_owner(account, purse.owners, owner)
            purse.left -= micros
            return purse

    def give_back(self, account: str, name: str | None, micros: int) -> None:
        """Lets what no task came to hold after all be handed out again."""
        with self._of(account):
            purse = self._open.get(account)
            if purse and purse.name == name:
                purse.left += micros

    def _of(self, account: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(account, threading.Lock())


def _wanted(last: Open | None, need: int) -> int:
    """Twice the last purse where that was used up, else what was used of it."""
    if last is None:
        return need
    used = last.grant - last.left
    return max(need, 2 * last.grant if time.monotonic() < last.last else used)


_in_hand: WeakKeyDictionary[Services, Purses] = WeakKeyDictionary()
_in_hand_lock = threading.Lock()


def purses(services: Services) -> Purses:
    """The purses that this process has in hand."""
    with _in_hand_lock:
        return _in_hand.setdefault(services, Purses())


def open_purse(services: Services, account: str, need: int, want: int, owner: str = "") -> Open:
    """Grants at least `need`, at most half of what is free, so that the last cents stay in reach.

    Raises `errors.UnknownAccount`, `errors.Forbidden` or `errors.BudgetExceeded`.
    """
    name = services.new_id()[:16]
    life = int(services.config.purse_seconds * SECOND)

    def opened(ledger: Ledger) -> Ledger:
        if name in ledger.purses:
            return ledger  # the commit had landed, its answer was lost
        if ledger.free < need:
            raise ledger.refusal(need)
        share = min(want, ledger.free // 2)
        grant = max(need, share - share % need) if need else share  # tasks of a size fit evenly
        return ledger.opened(name, Purse(grant=grant, expiry=ledger.read_at + life))

    asked = time.monotonic()
    holder = ledgers.account(services.store.get(f"{ledgers.ACCOUNTS}/{account}"))
    _check_owner(account, holder.owners, owner)
    ledger = _changed(services, holder.ledger_path(services.now()), holder, opened)
    purse = ledger.purses[name]
    log.event("opened purse", account=account, purse=name, grantCents=money.to_cents(purse.grant))
    return Open(
        name=name,
        ledger=ledger.path,
        owners=holder.owners,
        expiry=purse.expiry,
        last=asked + services.config.purse_seconds * (1 - MARGIN * (1 + _jitter(name))),
        grant=purse.grant,
        left=purse.grant,
    )


def _jitter(name: str) -> float:
    """Between 0 and 1, by a purse's name."""
    return zlib.crc32(name.encode()) / 2**32


def _check_owner(account: str, owners: Sequence[str], owner: str) -> None:
    if owners and owner not in owners:
        raise errors.Forbidden(f"account: {account} is for its owners alone")


def settle(services: Services, ledger: Ledger) -> None:
    """After its expiry a purse without live tasks becomes `spent`, else it shrinks to its tasks."""
    closed, shrunk = _counted(services, ledger)

    def settled(current: Ledger) -> Ledger:
        if current.wake_at is None or current.wake_at > current.read_at:
            return current  # another sweep was here
        same = {  # by name and expiry: one that was opened again is another
            name: purse
            for name, purse in current.purses.items()
            if name in ledger.purses and purse.expiry == ledger.purses[name].expiry
        }
        purses = {**current.purses}
        for name in same.keys() & shrunk.keys():
            purses[name] = replace(same[name], grant=min(same[name].grant, shrunk[name]))
        for name in same.keys() & closed.keys():
            del purses[name]
        spent = current.spent + sum(closed[name] for name in same.keys() & closed.keys())
        later = current.read_at + int(services.config.purse_seconds * SECOND)
        expiries = [
            purse.expiry if purse.expiry > current.read_at else later for purse in purses.values()
        ]
        return replace(current, spent=spent, purses=purses, wake_at=min(expiries, default=None))

    _changed(services, ledger.path, None, settled)
    log.event("settled purses", account=ledger.account, closed=len(closed), shrunk=len(shrunk))


def _counted(services: Services, ledger: Ledger) -> tuple[dict[str, int], dict[str, int]]:
    """What the expired purses to close have cost, and what the tasks of those to shrink hold.

    Live tasks are counted first, by a read that is later than the expiry, and only terminal ones
    are summed then: a task that names the purse too late is in neither.
    """
    closed: dict[str, int] = {}
    shrunk: dict[str, int] = {}
    for name, purse in ledger.purses.items():
        if purse.expiry >= ledger.read_at:
            continue
        live = _total(services, name, still_open=True)
        if live.read_at <= purse.expiry:
            continue
        ended = _total(services, name, still_open=False)
        if live.count:
            shrunk[name] = live.sum + ended.sum
        else:
            closed[name] = ended.sum
    return closed, shrunk


def put_account(services: Services, account: Account) -> tuple[Account, Ledger]:
    """Makes or changes an account; a limit below what is committed binds from here on.

    The ledger of the window at hand changes in the same commit.
    """
    for _ in retry.tries():
        before = services.store.get(account.path)
        document = services.store.get(account.ledger_path(services.now()))
        ledger = ledgers.ledger(document, account)
        assert ledger is not None  # noqa: S101 - an account makes one
        ledger = replace(ledger, limit=account.limit, limit_since=before.version)
        writes = [
            Put(account.path, account.fields(), before.version),
            Put(ledger.path, ledger.fields(), ledger.version),
        ]
        try:
            version = services.store.commit(writes)
        except errors.Conflict:
            continue
        return replace(account, version=version), ledger
    raise errors.Unavailable("the account changes too fast: try again")


def get_account(services: Services, account_id: str) -> tuple[Account, Ledger]:
    """The account and its window at hand; raises `errors.UnknownAccount`."""
    account = ledgers.account(services.store.get(f"{ledgers.ACCOUNTS}/{account_id}"))
    ledger = ledgers.ledger(services.store.get(account.ledger_path(services.now())), account)
    assert ledger is not None  # noqa: S101 - an account makes one
    return account, ledger


def due_ledgers(services: Services) -> Iterator[Ledger]:
    """Ledgers with purses to settle, however many."""
    due: list[Filter] = [("wakeAt", "<=", services.now())]
    query = Query(collection=ledgers.LEDGERS, where=due, order="wakeAt")
    for page in pages(services.store, query):
        yield from filter(None, map(ledgers.ledger, page))


def _changed(
    services: Services, path: str, holder: Account | None, change: Callable[[Ledger], Ledger]
) -> Ledger:
    """The ledger after a change that is decided anew whenever another commit comes first."""
    for _ in retry.tries():
        before = ledgers.ledger(services.store.get(path), holder)
        if before is None:
            raise errors.UnknownAccount("the ledger is gone")
        after = change(before)
        if after is before:
            return before
        try:
            version = services.store.commit([Put(path, after.fields(), before.version)])
        except errors.Conflict:
            continue
        return replace(after, version=version)
    raise errors.Unavailable("the account is too busy: try again")


def _total(services: Services, purse: str, *, still_open: bool) -> Total:
    where: list[Filter] = [("purse", "==", purse), ("open", "==", still_open)]
    return services.store.total(Query(collection=record.COLLECTION, where=where), "held")
