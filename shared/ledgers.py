"""The ledger of an account's window: its limit, what is spent, and the purses that are open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from shared import errors, money
from shared.clock import SECOND
from shared.storage.store import MISSING, Document

Window = Literal["day", "month", "total"]
WINDOWS: tuple[str, ...] = get_args(Window)
ACCOUNTS, LEDGERS = "accounts", "ledgers"
PERIODS = {"day": "%Y-%m-%d", "month": "%Y-%m", "total": "total"}  # in UTC


@dataclass(frozen=True, kw_only=True)
class Account:
    """A shared budget: `limit` micros per window."""

    id: str
    limit: int
    window: Window
    owners: tuple[str, ...] = ()  # callers who may dispatch on it; empty: every one
    version: int = MISSING

    @property
    def path(self) -> str:
        """Where the store keeps it."""
        return f"{ACCOUNTS}/{self.id}"

    def fields(self) -> dict[str, Any]:
        """The document."""
        return {"limit": self.limit, "window": self.window, "owners": list(self.owners)}

    def ledger_path(self, now: int) -> str:
        """Where the ledger of the window at that time (microseconds) is kept."""
        period = datetime.fromtimestamp(now / SECOND, UTC).strftime(PERIODS[self.window])
        return f"{LEDGERS}/{self.id}@{period}"


@dataclass(frozen=True, kw_only=True)
class Purse:
    """A part of an account's money that one process may hand out until `expiry`."""

    grant: int  # micros
    expiry: int  # microseconds, of the server's clock


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """At every commit `spent + grants <= ceiling`.

    The ceiling is the limit; where that was lowered below what was committed, it follows as purses
    settle.
    """

    path: str
    account: str
    limit: int
    ceiling: int
    limit_since: int = 0  # a later version of the account has the limit that counts
    spent: int = 0
    purses: Mapping[str, Purse] = field(default_factory=dict)
    wake_at: int | None = None  # when the sweep looks at the purses
    version: int = MISSING
    read_at: int = 0

    @property
    def granted(self) -> int:
        """What the open purses hold."""
        return sum(purse.grant for purse in self.purses.values())

    @property
    def free(self) -> int:
        """What is neither spent nor granted; 0 where the limit was lowered below that."""
        return max(0, self.limit - self.spent - self.granted)

    def fields(self) -> dict[str, Any]:
        """The document."""
        written: dict[str, Any] = {
            "account": self.account,
            "limit": self.limit,
            "limitSince": self.limit_since,
            "ceiling": max(self.limit, self.spent + self.granted),
            "spent": self.spent,
            "purses": {
                name: {"grant": purse.grant, "expiry": purse.expiry}
                for name, purse in self.purses.items()
            },
        }
        return written if self.wake_at is None else {**written, "wakeAt": self.wake_at}

    def opened(self, name: str, purse: Purse) -> Ledger:
        """The ledger with one more purse."""
        wake_at = min(self.wake_at or purse.expiry, purse.expiry)
        return replace(self, purses={**self.purses, name: purse}, wake_at=wake_at)

    def refusal(self, need: int) -> errors.BudgetExceeded:
        """Why a hold of `need` micros does not fit, and when it may."""
        shown = {
            "account": self.account,
            "limitCents": money.to_cents(self.limit),
            "spentCents": money.to_cents(self.spent),
            "heldCents": money.to_cents(self.granted),
        }
        if self.purses and self.limit - self.spent >= need:
            first = min(purse.expiry for purse in self.purses.values())
            shown["retryAfter"] = max(1, -(-(first - self.read_at) // SECOND))
        return errors.BudgetExceeded(
            "account: {account} has a limit of {limitCents} cents, {spentCents} are spent and"
            " {heldCents} held; {asked} were asked for".format(**shown, asked=money.to_cents(need)),
            **shown,
        )

    def view(self) -> dict[str, Any]:
        """The window as a client sees it."""
        return {
            "period": self.path.rpartition("@")[2],
            "limitCents": money.to_cents(self.limit),
            "spentCents": money.to_cents(self.spent),
            "heldCents": money.to_cents(self.granted),
            "freeCents": money.to_cents(self.free),
            "purses": len(self.purses),
        }


def account(document: Document) -> Account:
    """The account that a document holds; raises `errors.UnknownAccount`."""
    if document.version == MISSING:
        raise errors.UnknownAccount(f"account: there is no {document.id!r}; make it with PUT")
    data = document.data
    owners = tuple(data.get("owners", ()))
    return Account(
        id=document.id,
        limit=data["limit"],
        window=data["window"],
        owners=owners,
        version=document.version,
    )


def ledger(document: Document, of: Account | None = None) -> Ledger | None:
    """The ledger that a document holds; where there is none yet, a new one of the account.

    Who changes an account changes the window at hand with it, by a clock of its own: around
    midnight that may be another window than this one, which then takes the limit from the account.
    """
    data = document.data
    if document.version != MISSING:
        found = Ledger(
            path=document.path,
            account=data["account"],
            limit=data["limit"],
            ceiling=data["ceiling"],
            limit_since=data.get("limitSince", 0),
            spent=data["spent"],
            purses={name: Purse(**purse) for name, purse in data["purses"].items()},
            wake_at=data.get("wakeAt"),
            version=document.version,
            read_at=document.read_at,
        )
        if of is None or of.version <= found.limit_since:
            return found
        return replace(found, limit=of.limit, limit_since=of.version)
    if of is None:
        return None
    return Ledger(
        path=document.path,
        account=of.id,
        limit=of.limit,
        ceiling=of.limit,
        limit_since=of.version,
        read_at=document.read_at,
    )
