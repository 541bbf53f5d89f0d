"""The accounts as the console shows them: where their money is, and how fast it goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import flask

import screens
from shared import budgets, clock, ledgers, money, runtime, schemas
from shared.clock import SECOND
from shared.ledgers import Account, Ledger
from shared.runtime import Services
from shared.storage import shards
from shared.storage.store import Query
from shared.tasks import record
from shared.tasks.record import Task

SHOWN = 100  # accounts at most
SAMPLE = 100  # tasks that the burn rate is taken from
PERIODS = {"day": 7, "month": 6, "total": 7}  # of the history, in days or months
MINUTE = 60 * SECOND
FAR = 10 * 365 * 24 * 60 * MINUTE  # microseconds until which it is told when the money runs out


def index(request: flask.Request) -> flask.Response:
    """`{accounts}`, by name, each with its window at hand."""
    current = runtime.current()
    found = current.store.query(Query(collection=ledgers.ACCOUNTS, limit=SHOWN))
    accounts = [view(*_window(current, ledgers.account(document))) for document in found]
    return screens.data({"accounts": accounts})


def show(request: flask.Request, account_id: str) -> flask.Response:
    """One account, with its `history` (periods, the oldest first); unless brief with its `burn`."""
    current = runtime.current()
    account, ledger = budgets.get_account(current, schemas.account_id(account_id))
    found = view(account, ledger)
    if not screens.brief(request):
        sample = _sample(current, account)
        found["burn"] = _burn(sample, ledger, current.now())
        if account.window == "total":
            found["history"] = _days(sample, current.now())
    if account.window != "total":
        found["history"] = _windows(current, account)
    return screens.data(found)


def _window(services: Services, account: Account) -> tuple[Account, Ledger]:
    ledger = ledgers.ledger(services.store.get(account.ledger_path(services.now())), account)
    assert ledger is not None  # noqa: S101 - an account makes one
    return account, ledger


def view(account: Account, ledger: Ledger) -> dict[str, Any]:
    """An account as the function `accounts` shows it."""
    named = {"account": account.id, "window": account.window, "owners": list(account.owners)}
    return {**named, **ledger.view(), "limitCents": money.to_cents(account.limit)}


def _sample(services: Services, account: Account) -> list[Task]:
    query = Query(
        collection=record.COLLECTION,
        where=[("account", "==", account.id), *shards.every(services.config.sharded)],
        order="-createdAt",
        limit=SAMPLE,
    )
    found = map(record.from_document, services.store.query(query))
    return [task for task in found if task]


def _burn(sample: Sequence[Task], ledger: Ledger, now: int) -> dict[str, Any]:
    """What the newest tasks cost or hold, over the time they took to come; and how long it goes."""
    if not sample:
        return {"centsPerHour": 0, "tasks": 0}
    span = max(now - sample[-1].created_at, MINUTE)
    rate = sum(task.held for task in sample) * 60 * MINUTE // span
    burn = {
        "centsPerHour": round(rate / money.CENT, 2),
        "tasks": len(sample),
        "since": clock.timestamp(now - span),
    }
    lasts = ledger.free * 60 * MINUTE // rate if burn["centsPerHour"] else 0
    if 0 < lasts < FAR:  # a date beyond the year 9999 cannot be written
        burn["runsOutAt"] = clock.timestamp(now + lasts)
    return burn


def _days(sample: Sequence[Task], now: int) -> list[dict[str, Any]]:
    """What the sample's tasks cost or hold, by the day: of an account that has only one window."""
    spent: Counter[str] = Counter()
    for task in sample:
        spent[_day(task.created_at)] += task.held
    days = [_day(now - back * 24 * 60 * MINUTE) for back in reversed(range(PERIODS["total"]))]
    return [{"period": day, "spentCents": money.to_cents(spent[day])} for day in days]


def _windows(services: Services, account: Account) -> list[dict[str, Any]]:
    """What was spent in each of the last windows."""
    moments = list(_moments(account, services.now()))[::-1]
    windows = [
        ledgers.ledger(services.store.get(account.ledger_path(at)), account) for at in moments
    ]
    return [window.view() for window in windows if window]


def _moments(account: Account, now: int) -> Iterator[int]:
    """A point in time within each of the last windows, the newest first."""
    at = datetime.fromtimestamp(now / SECOND, UTC)
    for _ in range(PERIODS[account.window]):
        yield int(at.timestamp()) * SECOND
        at = at - timedelta(days=1) if account.window == "day" else at.replace(day=1) - timedelta(1)


def _day(micros: int) -> str:
    return datetime.fromtimestamp(micros / SECOND, UTC).strftime("%Y-%m-%d")
