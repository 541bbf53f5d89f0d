"""`accounts`: shared budgets: their limit and window, what is spent, held and free."""

from __future__ import annotations

from typing import Any

import flask

from shared import budgets, callers, endpoint, ledgers, money, runtime, schemas

api = endpoint.Endpoint("accounts")
ACCOUNT = schemas.Account()


@api.route("GET", "/account/<account_id>")
def show(request: flask.Request, account_id: str) -> flask.Response:
    """The account with its window at hand."""
    callers.identify(request).require_admin()
    account, ledger = budgets.get_account(runtime.current(), schemas.account_id(account_id))
    return endpoint.answer(_view(account, ledger))


@api.route("PUT", "/account/<account_id>")
def put(request: flask.Request, account_id: str) -> flask.Response:
    """Makes it, or changes its limit; a lower one binds from here on, not what is held."""
    callers.identify(request).require_admin()
    asked = schemas.load(ACCOUNT, endpoint.body(request))
    account = ledgers.Account(
        id=schemas.account_id(account_id),
        limit=asked["limitCents"],
        window=asked["window"],
        owners=tuple(asked["owners"]),
    )
    return endpoint.answer(_view(*budgets.put_account(runtime.current(), account)))


def _view(account: ledgers.Account, ledger: ledgers.Ledger) -> dict[str, Any]:
    named = {"account": account.id, "window": account.window, "owners": list(account.owners)}
    return {**named, **ledger.view(), "limitCents": money.to_cents(account.limit)}


accounts = api.target()
