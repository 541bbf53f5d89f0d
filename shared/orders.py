"""What a caller asks for, made into a task: deadline, budget, identity, trace."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any

import flask
from marshmallow import Schema

from shared import (
    callbacks,
    endpoint,
    errors,
    errors as errorss,
    limits,
    models,
    schemas,
    strictjson,
)
from shared.clock import SECOND
from shared.models import Task
from shared.runtime import Services

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
        id=models.keyed_id(owner, agent, key) if key else services.new_id(),
        agent=agent,
        owner=owner,
        payload=_payload(order),
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


def known(order: Mapping[str, Any], default_agent: str) -> Task:
    """The task of a run object that names it, as far as its message tells."""
    return Task(
        id=order["taskId"],
        agent=order.get("agent", default_agent),
        owner=order.get("owner", ""),
        version=order.get("version", 0),
        payload=_payload(order),
        deadline=order.get("ttl", 0),
        budget=order.get("budgetCents", 0),
        held=order.get("budgetCents", 0),
        charged=order.get("chargedCents", 0),
        attempts=order.get("attempts", 0),
        max_attempts=order.get("maxAttempts", 1),
        idempotency_key=order.get("idempotencyKey"),
        trace_id=order.get("traceId", ""),
        traceparent=order.get("traceparent"),
        callback_url=order.get("callbackUrl"),
        account=order.get("account"),
        parent=order.get("parent"),
        parent_key=order.get("parentKey"),
        depth=order.get("depth", 0),
        resumed=order.get("resumed"),
    )


def _payload(order: Mapping[str, Any]) -> str:
    """The payload as JSON; raises `errors.Invalid` where it leaves no room for a message."""
    try:
        text = strictjson.dumps(order["payload"])
    except ValueError as error:
        errorss.refuse([("payload", str(error))])
    if len(text.encode()) > limits.BODY:  # 1e15 has become 1000000000000000.0
        errorss.refuse([("payload", f"must have at most {limits.BODY} bytes, written out")])
    return text


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
        errorss.refuse([("ttl", "give ttl (Unix seconds) or ttlSeconds")])
    check_deadline(order, now)


def check_deadline(order: Mapping[str, Any], now: int) -> None:
    """Raises `errors.Invalid` for two deadlines, or one that is past or too far away."""
    _check_span(order, now)
    if order.get("ttl", now + 1) <= now:
        errorss.refuse([("ttl", "lies in the past: give Unix seconds that are still to come")])


def _check_span(order: Mapping[str, Any], now: int) -> None:
    if "ttl" in order and "ttlSeconds" in order:
        errorss.refuse([("ttlSeconds", "give either ttl or ttlSeconds")])
    if order.get("ttl", now) > now + limits.TTL * SECOND:
        errorss.refuse([("ttl", f"must be at most {limits.TTL} seconds from now")])


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
