"""What a caller asks for, made into a task: deadline, budget, identity, trace."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any

import flask
from marshmallow import Schema

from shared import callbacks, endpoint, errors, limits, schemas, strictjson
from shared.clock import SECOND
from shared.runtime import Services
from shared.tasks import messages, record
from shared.tasks.record import Task

HEX32 = re.compile(r"[0-9a-f]{32}")


def asked(request: flask.Request, schema: Schema) -> dict[str, Any]:
    """The order in a request's body, completed by its `Idempotency-Key` and `traceparent`.

    Raises as `endpoint.body` does, and `errors.Invalid`. A `traceparent` of another version is
    passed over, as its specification wants: whoever is in between may have added it.
    """
    order = schemas.load(schema, endpoint.body(request))
    key = request.headers.get("Idempotency-Key")
    if key is not None:
        if not re.fullmatch(schemas.HEADER, key):
            raise errors.Invalid("Idempotency-Key: must have 1 to 255 characters of plain ASCII")
        order = {"idempotencyKey": key, **order}
    traceparent = request.headers.get("traceparent", "")
    if re.fullmatch(schemas.TRACEPARENT, traceparent):
        order = {"traceparent": traceparent, **order}
    return order


def task(services: Services, order: Mapping[str, Any], *, agent: str, owner: str = "") -> Task:
    """The task that an order (as `schemas.Dispatch` or `schemas.Run` loads it) asks for.

    Where it names no budget or deadline, the environment's defaults stand. It is not durable yet.
    A deadline that is past makes a task that expires; `check_deadline` refuses it.
    """
    now = services.now()
    _check_span(order, now)
    if order.get("callbackUrl"):
        callbacks.check_url(order["callbackUrl"], services.config, services.network)
    key = order.get("idempotencyKey")
    budget = order.get("budgetCents", services.config.default_budget_cents)
    until = deadline(services, order, now)
    trace_id, traceparent = trace(order)
    return Task(
        id=record.keyed_id(owner, agent, key) if key else services.new_id(),
        agent=agent,
        owner=owner,
        payload=messages.payload(order),
        deadline=until,
        budget=budget,
        held=budget,
        max_attempts=services.config.max_attempts,
        mode=order.get("mode", "pubsub"),
        idempotency_key=key,
        fingerprint=fingerprint(agent, budget, order),
        trace_id=trace_id,
        traceparent=traceparent,
        callback_url=order.get("callbackUrl"),
        account=order.get("account"),
        created_at=now,
        wake_at=first_wake(services, until, now),
    )


def deadline(services: Services, order: Mapping[str, Any], now: int) -> int:
    """When the task expires, in microseconds."""
    if "ttl" in order:
        return int(order["ttl"])
    span = order.get("ttlSeconds", int(services.config.default_ttl_seconds * SECOND))
    return now + int(span)


def first_wake(services: Services, until: int, now: int) -> int:
    """When the sweep looks after a queued task whose message should long be under way."""
    return min(until, now + int(services.config.publish_grace_seconds * SECOND))


def require_deadline(order: Mapping[str, Any], now: int) -> None:
    """Raises `errors.Invalid` unless the order names one deadline, and that is still to come."""
    if "ttl" not in order and "ttlSeconds" not in order:
        errors.refuse([("ttl", "give ttl (Unix seconds) or ttlSeconds")])
    check_deadline(order, now)


def check_deadline(order: Mapping[str, Any], now: int) -> None:
    """Raises `errors.Invalid` for two deadlines, or one that is past or too far away."""
    _check_span(order, now)
    if order.get("ttl", now + 1) <= now:
        errors.refuse([("ttl", "lies in the past: give Unix seconds that are still to come")])


def _check_span(order: Mapping[str, Any], now: int) -> None:
    if "ttl" in order and "ttlSeconds" in order:
        errors.refuse([("ttlSeconds", "give either ttl or ttlSeconds")])
    if order.get("ttl", now) > now + limits.TTL * SECOND:
        errors.refuse([("ttl", f"must be at most {limits.TTL} seconds from now")])


def fingerprint(agent: str, budget: int, order: Mapping[str, Any]) -> str:
    """What must be the same for two requests to be one.

    The deadline and the trace are not part of it: who asks again sets them anew.
    """
    same = [agent, budget, order["payload"], order.get("callbackUrl"), order.get("account")]
    return hashlib.sha256(strictjson.compact(same).encode()).hexdigest()[:32]


def trace(order: Mapping[str, Any]) -> tuple[str, str | None]:
    """(traceId, traceparent): as given, or new ones. https://www.w3.org/TR/trace-context/"""
    given, parent = order.get("traceId"), order.get("traceparent")
    if parent:
        return given or parent.split("-")[1], parent
    trace_id = given or secrets.token_hex(16)
    if HEX32.fullmatch(trace_id):
        parent = f"00-{trace_id}-{secrets.token_hex(8)}-01"
    return trace_id, parent
