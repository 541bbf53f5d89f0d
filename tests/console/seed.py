"""Tasks and accounts as they may stand in a store, for pages to show."""

from __future__ import annotations

import json
import random
from typing import Any

from shared import ledgers, money
from shared.clock import SECOND
from shared.storage.store import Put, Store
from shared.tasks import record
from shared.tasks.record import Task

MINUTE = 60 * SECOND
LEASE_LAPSED = {
    "code": "lease_lapsed",
    "detail": "attempt 1 did not finish within its lease",
}
NASTY = "<script>document.title='owned'</script> \"quoted\" 'and' \\back & </td> `x`"
TEXTS = ("Summarise the minutes of Monday", "Translate the menu", "Find the cheapest flight")


def id_(number: int) -> str:
    """The id of the seeded task of that number."""
    return record.keyed_id("seed", str(number))


def many(store: Store, now: int, count: int) -> None:
    """`count` tasks that came over the last hours, the first one the newest."""
    dice = random.Random(7)
    for number in range(count):
        put(store, ended(number, now - number * 20 * SECOND - 3 * SECOND, dice))


def put(store: Store, task: Task) -> None:
    """Makes the task as it is."""
    store.commit([Put(task.path, task.fields())])


def ended(number: int, at: int, dice: random.Random) -> Task:
    """A task that ended some way, dispatched at that time."""
    status = dice.choices(["succeeded", "failed", "expired", "cancelled"], weights=[90, 5, 2, 3])[0]
    begin, work = at + dice.randint(4_000, 30_000), dice.randint(30_000, 2_500_000)
    end = begin + work
    cost = money.from_cents(5) if status != "cancelled" else 0
    run: dict[str, Any] = {"startedAt": begin, "endedAt": end, "charged": cost}
    error = {"code": "agent_error", "detail": "KeyError: 'price'"} if status == "failed" else None
    if status == "expired":
        error = {"code": "expired", "detail": "the deadline passed while running"}
    return base(
        number,
        at,
        status=status,
        charged=cost,
        held=cost,
        attempts=1,
        ended_at=end,
        error=error,
        runs={"1": run | ({"error": error} if status == "failed" else {})},
        result=json.dumps({"text": "Done."}) if status == "succeeded" else None,
    )


def base(number: int, at: int, **rest: Any) -> Task:
    """A task with what every one has."""
    values: dict[str, Any] = {
        "id": id_(number),
        "agent": ("light", "codex", "writer")[number % 3],
        "payload": json.dumps({"prompt": TEXTS[number % 3], "n": number}),
        "budget": money.from_cents(10),
        "held": money.from_cents(10),
        "deadline": at + 5 * MINUTE,
        "created_at": at,
        "trace_id": id_(number + 10**6),
        "account": ("research", None)[number % 2],
    }
    return Task(**values | rest)


def retried(store: Store, now: int) -> Task:
    """A task whose first attempt lost its lease, and whose callback was delivered."""
    at = now - 20 * SECOND
    task = base(
        900_001,
        at,
        status="succeeded",
        agent="codex",
        account="research",
        attempts=2,
        charged=money.from_cents(10),
        held=money.from_cents(10),
        budget=money.from_cents(25),
        idempotency_key="minutes-of-monday",
        ended_at=at + 9 * SECOND,
        result=json.dumps({"summary": ["Budget agreed", "Ana writes the draft"], "tokens": 812}),
        callback_url="https://example.com/hooks/zantara",
        callback={"state": "delivered", "attempts": 1, "lastAt": at + 9_400_000},
        runs={
            "1": {
                "startedAt": at + 40_000,
                "endedAt": at + 5 * SECOND,
                "charged": money.from_cents(5),
                "error": LEASE_LAPSED,
            },
            "2": {
                "startedAt": at + 6 * SECOND,
                "endedAt": at + 9 * SECOND,
                "charged": money.from_cents(5),
            },
        },
    )
    put(store, task)
    return task


def nasty(store: Store, now: int) -> Task:
    """A failed task, every text of which tries to be more than text."""
    error = {"code": "agent_error", "detail": NASTY}
    task = base(
        900_002,
        now - 12 * SECOND,
        status="failed",
        agent="light",
        payload=json.dumps({"text": NASTY, NASTY: [1.5, True, None, NASTY]}),
        idempotency_key=NASTY,
        attempts=1,
        held=0,
        account=None,
        error=error,
        ended_at=now - 11 * SECOND,
        runs={"1": {"startedAt": now - 12 * SECOND + 9_000, "endedAt": now - 11 * SECOND,
                    "charged": 0, "error": error}},
    )  # fmt: skip
    put(store, task)
    return task


def running(store: Store, now: int) -> Task:
    """A task at work."""
    task = base(
        900_003,
        now - 4 * SECOND,
        status="running",
        agent="writer",
        attempts=1,
        charged=money.from_cents(5),
        wake_at=now + MINUTE,
        lease_until=now + MINUTE,
        runs={"1": {"startedAt": now - 4 * SECOND + 7_000, "charged": money.from_cents(5)}},
    )
    put(store, task)
    return task


def accounts(store: Store, now: int) -> None:
    """Three accounts, with what is spent and held of them."""
    for name, window, limit, spent, granted in (
        ("research", "day", 2_000, 730, 120),
        ("support-bot", "month", 50_000, 48_200, 900),
        ("demo", "total", 100, 0, 0),
    ):
        account = ledgers.Account(id=name, limit=money.from_cents(limit), window=window)  # type: ignore[arg-type]
        purses = {"p": ledgers.Purse(grant=money.from_cents(granted), expiry=now + MINUTE)}
        store.commit([Put(account.path, account.fields())])
        for back in range(7 if window == "day" else 1):
            at = now - back * 24 * 60 * MINUTE
            ledger = ledgers.Ledger(
                path=account.ledger_path(at),
                account=name,
                limit=account.limit,
                ceiling=account.limit,
                spent=money.from_cents(spent) * (back * 3 % 5 + 2) // (5 if back else 2),
                purses=purses if granted and not back else {},
            )
            store.commit([Put(ledger.path, ledger.fields())])
