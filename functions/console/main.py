"""`console`: the web console, where work and money can be seen to flow, and be set going."""

from __future__ import annotations

from collections.abc import Callable

import flask

import actions
import rows
import screens
import spending
import vitals
from shared import callers, endpoint, errors, runtime

api = endpoint.Endpoint("console")
FETCHED = (None, "none", "same-origin")  # what a browser says of a request that is ours


def _admit(request: flask.Request) -> None:
    """Only an admin may use the console; the one place that asks."""
    callers.identify(request).require_admin()


def _route(
    method: str, *paths: str, changes: bool = False
) -> Callable[[endpoint.Handler], endpoint.Handler]:
    """As `Endpoint.route`, for whom the console is open to; `changes`: not in read-only mode."""

    def register(handler: endpoint.Handler) -> endpoint.Handler:
        def guarded(request: flask.Request, **arguments: str) -> flask.Response:
            _admit(request)
            if changes and runtime.current().config.console_read_only:
                raise errors.Forbidden("this console only shows (CONSOLE_READ_ONLY)")
            if method != "GET" and request.headers.get("Sec-Fetch-Site") not in FETCHED:
                raise errors.Forbidden("another site's page may not use this console")
            return handler(request, **arguments)

        api.route(method, *paths)(guarded)
        return handler

    return register


_route("GET", "/")(screens.screen("tasks"))
_route("GET", "/console/task/<name>")(screens.screen("task"))
_route("GET", "/console/accounts")(screens.screen("accounts"))
_route("GET", "/console/account/<name>")(screens.screen("account"))
_route("GET", "/console/health")(screens.screen("health"))
_route("GET", "/console/dispatch")(screens.screen("dispatch"))
_route("GET", "/console/break")(screens.screen("break"))
_route("GET", "/console/static/<version>/<name>")(screens.static)

_route("POST", "/console/api/tasks")(rows.index)  # a POST: what is searched for is in no URL
_route("GET", "/console/api/pulse")(rows.pulse)
_route("GET", "/console/api/accounts")(spending.index)
_route("GET", "/console/api/account/<account_id>")(spending.show)
_route("GET", "/console/api/health")(vitals.show)

# The paths of the other functions: where these stand in front, their own answers come first.
_route("GET", "/task/<task_id>")(actions.show)
_route("POST", "/dispatch", changes=True)(actions.order)
_route("POST", "/task/<task_id>/cancel", changes=True)(actions.cancel)
_route("POST", "/task/<task_id>/redrive", changes=True)(actions.redrive)
_route("POST", "/task/<task_id>/callback", changes=True)(actions.call_back)
_route("PUT", "/account/<account_id>", changes=True)(actions.put_account)

console = api.target()
