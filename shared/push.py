"""Pushes from Pub/Sub: who sent them, what they carry, and when they are acknowledged."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

import flask

from shared import endpoint, errors, limits, log, oidc, runtime, schemas, strictjson
from shared.storage.bus import Pushed
from shared.tasks import dead_letters

ENVELOPE = schemas.Push()


ACKNOWLEDGED = 204


Handler = Callable[[Pushed], None]


def route(api: endpoint.Endpoint, *paths: str) -> Callable[[Handler], Handler]:
    """Routes pushes to the handler below.

    It returns once all is safe, and the message is acknowledged. What it raises decides: an error
    that a retry can help lets Pub/Sub deliver again; any other is recorded, and acknowledged.
    """

    def register(handler: Handler) -> Handler:
        def receive(request: flask.Request) -> flask.Response:
            _authenticate(request, api.name)
            try:
                body = endpoint.raw(request, limits.PUSH)
            except errors.TooLarge as error:  # so it would be at every delivery
                dead_letters.keep("", error.code, error.detail, {"body": _text(error.start)})
                return flask.Response(status=ACKNOWLEDGED)
            return _handled(handler, body)

        api.route("POST", *paths)(receive)
        return handler

    return register


def _authenticate(request: flask.Request, function: str) -> None:
    settings = runtime.current().config
    audience = settings.push_audience(function)
    if audience:
        oidc.verify_push(request.headers, audience, settings)


def _handled(handler: Handler, body: bytes) -> flask.Response:
    pushed = None
    try:
        pushed = parse(body)
        with log.bound(messageId=pushed.id, **_traced(pushed)):
            handler(pushed)
    except errors.Error as error:
        if error.retryable or error.status >= 500:
            raise
        if "retryAfter" in error.members:  # an account whose money others hold, for now
            raise errors.Unavailable(error.detail, **error.members) from None
        kept = {"body": _text(body)}
        dead_letters.keep(pushed.id if pushed else "", error.code, error.detail, kept)
    return flask.Response(status=ACKNOWLEDGED)


def parse(body: bytes) -> Pushed:
    """The message of a push; raises `errors.Malformed` or `errors.Invalid`."""
    envelope = schemas.load(ENVELOPE, strictjson.loads(body))
    message = envelope["message"]
    try:
        data = base64.b64decode(message["data"], validate=True)
    except (binascii.Error, ValueError):
        raise errors.Malformed("message.data: must be base64") from None
    published = message["publishTime"]
    return Pushed(
        data=strictjson.loads(data),
        attributes=message["attributes"],
        id=message["messageId"],
        published_at=int(published.timestamp() * 1_000_000) if published else None,
        attempt=envelope["deliveryAttempt"],
        subscription=envelope["subscription"],
    )


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def _traced(pushed: Pushed) -> dict[str, str]:
    known = {name: pushed.attributes.get(name) for name in ("taskId", "traceId")}
    return {name: value for name, value in known.items() if value}
