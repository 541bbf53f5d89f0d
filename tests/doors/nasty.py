"""Nasty input: requests that somebody will send one day, and the answer that each must get."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

JSON = ("Content-Type", "application/json")
ORDER: Mapping[str, Any] = {"agent": "light", "payload": 1, "ttlSeconds": 60, "budgetCents": 10}
NOBODY = "0" * 32  # the id of no task


@dataclass(frozen=True)
class Case:
    """A request, and the (status, code) of its answer."""

    target: str
    method: str
    path: str
    body: bytes | Iterable[bytes] | None
    expected: tuple[int, str]
    headers: tuple[tuple[str, str], ...] = (JSON,)


def order(expected: tuple[int, str], **changes: Any) -> Case:
    """An order with some fields changed; `...` leaves one out."""
    fields = {name: value for name, value in {**ORDER, **changes}.items() if value is not ...}
    return dispatch(expected, json.dumps(fields).encode())


def dispatch(
    expected: tuple[int, str],
    body: bytes | Iterable[bytes] | None = json.dumps(ORDER).encode(),
    *headers: tuple[str, str],
) -> Case:
    """A POST to /dispatch."""
    return Case("dispatch", "POST", "/dispatch", body, expected, headers or (JSON,))


def get(target: str, path: str, expected: tuple[int, str], method: str = "GET") -> Case:
    """A request without a body."""
    return Case(target, method, path, None, expected, ())


def push(expected: tuple[int, str], body: Any, target: str = "results") -> Case:
    """A push; what can never succeed is acknowledged all the same."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    path = "/pubsub/push" if target == "agent_light" else "/"
    return Case(target, "POST", path, raw, expected)


def message(data: Any, **more: Any) -> dict[str, Any]:
    """The envelope of a push with this data."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return {"message": {"data": base64.b64encode(raw).decode(), **more}}


MALFORMED, INVALID, TYPE = (400, "malformed"), (422, "invalid"), (415, "unsupported_media_type")
NONE, METHOD, LARGE = (404, "not_found"), (405, "method_not_allowed"), (413, "too_large")
NO_TASK, NO_AGENT = (404, "unknown_task"), (404, "unknown_agent")
TAKEN = (204, "")

CASES: Mapping[str, Case] = {
    # What is no JSON, or has more than one meaning.
    "no body": dispatch(MALFORMED, b""),
    "not JSON": dispatch(MALFORMED, b"agent=light"),
    "cut off": dispatch(MALFORMED, b'{"agent":'),
    "NaN": dispatch(MALFORMED, b'{"agent":"light","payload":NaN}'),
    "Infinity": dispatch(MALFORMED, b'{"agent":"light","payload":-Infinity}'),
    "a key twice": dispatch(MALFORMED, b'{"budgetCents":1,"budgetCents":1000000}'),
    "lone surrogate": dispatch(MALFORMED, b'{"agent":"light","payload":"\\ud800"}'),
    "byte order mark": dispatch(MALFORMED, b"\xef\xbb\xbf" + json.dumps(ORDER).encode()),
    "UTF-16": dispatch(MALFORMED, json.dumps(ORDER).encode("utf-16")),
    "Latin-1": dispatch(MALFORMED, b'{"agent":"light","payload":"\xe9"}'),
    "100,000 brackets": dispatch(MALFORMED, b"[" * 100_000),
    "100,000 objects": dispatch(MALFORMED, b'{"a":' * 40_000),
    "float overflow": dispatch(MALFORMED, b'{"payload":1e999}'),
    "5000 digits": dispatch(MALFORMED, b'{"payload":' + b"9" * 5000 + b"}"),
    "an array": dispatch(INVALID, b"[]"),
    "null": dispatch(INVALID, b"null"),
    "text": dispatch(INVALID, b'"x"'),
    # What it claims to be.
    "no content type": dispatch(TYPE, json.dumps(ORDER).encode(), ("X", "y")),
    "a form": dispatch(TYPE, b"{}", ("Content-Type", "application/x-www-form-urlencoded")),
    "text/plain": dispatch(TYPE, b"{}", ("Content-Type", "text/plain")),
    "text/json": dispatch(TYPE, b"{}", ("Content-Type", "text/json")),
    "UTF-16 declared": dispatch(TYPE, b"{}", ("Content-Type", "application/json; charset=utf-16")),
    "gzip declared": dispatch(TYPE, b"{}", JSON, ("Content-Encoding", "gzip")),
    "content type garbage": dispatch(TYPE, b"{}", ("Content-Type", ";;;\xff")),
    # Sizes.
    "too large": dispatch(LARGE, b" " * (256 * 1024 + 1)),
    "too large, chunked": dispatch(LARGE, [b" " * 1024] * 300),
    "chunked, cut off": dispatch(MALFORMED, [b'{"agent":', b'"light"']),
    "as large as may be": dispatch(INVALID, b" " * (256 * 1024 - 2) + b"{}"),
    # Fields.
    "unknown field": order(INVALID, budgetcents=1),
    "thousands of unknown fields": dispatch(
        INVALID, json.dumps({f"f{number}": 1 for number in range(20_000)}).encode()
    ),
    "an endless field name": order(INVALID, **{"x" * 200_000: 1}),
    "no agent": order(INVALID, agent=...),
    "agent null": order(INVALID, agent=None),
    "agent a number": order(INVALID, agent=1),
    "agent unknown": order(NO_AGENT, agent="nobody"),
    "agent a path": order(INVALID, agent="../light"),
    "agent with a filter in it": order(INVALID, agent='light" OR attributes.agent="codex'),
    "agent with a newline": order(INVALID, agent="light\n"),
    "no payload": order(INVALID, payload=...),
    "no budget": order(INVALID, budgetCents=...),
    "budget true": order(INVALID, budgetCents=True),
    "budget text": order(INVALID, budgetCents="10"),
    "budget negative": order(INVALID, budgetCents=-1),
    "budget too fine": order(INVALID, budgetCents=0.00001),
    "budget huge": order(INVALID, budgetCents=10**18),
    "budget beyond 64 bits": order(INVALID, budgetCents=10**300),
    "no deadline": order(INVALID, ttlSeconds=...),
    "two deadlines": order(INVALID, ttl=4_000_000_000),
    "ttl in milliseconds": order(INVALID, ttlSeconds=..., ttl=4_000_000_000_000),
    "ttl in the past": order(INVALID, ttlSeconds=..., ttl=1),
    "ttl negative": order(INVALID, ttlSeconds=..., ttl=-1),
    "ttl far away": order(INVALID, ttlSeconds=..., ttl=90_000_000_000),
    "ttl text": order(INVALID, ttlSeconds=..., ttl="tomorrow"),
    "ttlSeconds zero": order(INVALID, ttlSeconds=0),
    "ttlSeconds true": order(INVALID, ttlSeconds=True),
    "ttlSeconds for ever": order(INVALID, ttlSeconds=10**9),
    "mode unknown": order(INVALID, mode="carrier pigeon"),
    "key a number": order(INVALID, idempotencyKey=1),
    "key empty": order(INVALID, idempotencyKey=""),
    "key too long": order(INVALID, idempotencyKey="x" * 256),
    "key with NUL": order(INVALID, idempotencyKey="a\0b"),
    "key header empty": dispatch(
        INVALID, json.dumps(ORDER).encode(), JSON, ("Idempotency-Key", "")
    ),
    "key header too long": dispatch(
        INVALID, json.dumps(ORDER).encode(), JSON, ("Idempotency-Key", "x" * 256)
    ),
    "traceparent of zeroes and more": order(INVALID, traceparent="00-xyz"),
    "account a path": order(INVALID, account="../../tasks/x"),
    "account a dunder": order(INVALID, account="__x__"),
    "callback to the metadata": order(INVALID, callbackUrl="http://169.254.169.254/"),
    "callback a number": order(INVALID, callbackUrl=1),
    "callback a file": order(INVALID, callbackUrl="file:///etc/passwd"),
    "payload deep": order(MALFORMED, payload=json.loads("[" * 80 + "]" * 80)),
    "payload that grows as it is stored": dispatch(
        INVALID,
        json.dumps(ORDER).replace('"payload": 1', f'"payload": [{"1e15," * 50_000}1]').encode(),
    ),
    # Paths and methods.
    "GET dispatch": get("dispatch", "/dispatch", METHOD),
    "BREW dispatch": get("dispatch", "/dispatch", METHOD, "BREW"),
    "OPTIONS dispatch": get("dispatch", "/dispatch", METHOD, "OPTIONS"),
    "TRACE dispatch": get("dispatch", "/dispatch", METHOD, "TRACE"),
    "DELETE task": get("get_task", f"/task/{NOBODY}", METHOD, "DELETE"),
    "GET cancel": get("cancel_task", f"/task/{NOBODY}/cancel", METHOD),
    "no such path": get("dispatch", "/admin", NONE),
    "an endless path": get("dispatch", "/" + "a" * 4000, NONE),
    "an endless path, another method": get("get_task", f"/task/{'a' * 4000}", METHOD, "PUT"),
    "a doubled slash": get("get_task", f"/task//{NOBODY}", NONE),
    "no UTF-8 in the path": get("dispatch", "/%ff%fe", NONE),
    "NUL in the path": get("get_task", f"/task/{NOBODY}%00", NO_TASK),
    "tab in the path": get("get_task", f"/task/{NOBODY}%09", NO_TASK),
    "slashes in the id": get("get_task", "/task/a%2fb%2fc", NONE),
    "dots in the id": get("get_task", "/task/..%2f..%2faccounts%2fa", NONE),
    "a dunder as id": get("get_task", "/task/__id__", NO_TASK),
    "capitals in the id": get("get_task", f"/task/{'A' * 32}", NO_TASK),
    "a long id": get("get_task", f"/task/{'a' * 4000}", NO_TASK),
    "nobody's task": get("get_task", f"/task/{NOBODY}", NO_TASK),
    "cancel nobody's task": get("cancel_task", f"/task/{NOBODY}/cancel", NO_TASK, "POST"),
    "redrive nobody's task": get("dispatch", f"/task/{NOBODY}/redrive", NO_TASK, "POST"),
    "wait not a number": get("get_task", f"/task/{NOBODY}?wait=soon", INVALID),
    "wait NaN": get("get_task", f"/task/{NOBODY}?wait=nan", INVALID),
    "wait negative": get("get_task", f"/task/{NOBODY}?wait=-1", INVALID),
    "wait for ever": get("get_task", f"/task/{NOBODY}?wait=1e9", INVALID),
    "wait twice": get("get_task", f"/task/{NOBODY}?wait=1&wait=2", INVALID),
    "wait in Arabic digits": get("get_task", f"/task/{NOBODY}?wait=%D9%A1", INVALID),
    "an endless parameter, twice": get("get_task", "/tasks?" + f"{'a' * 1000}=1&" * 2, INVALID),
    "thousands of parameters": get(
        "get_task", "/tasks?" + "&".join(f"a{number}=1" for number in range(600)), INVALID
    ),
    "unknown parameter": get("get_task", "/tasks?owner=me", INVALID),
    "limit 0": get("get_task", "/tasks?limit=0", INVALID),
    "limit 1.5": get("get_task", "/tasks?limit=1.5", INVALID),
    "limit with an underscore": get("get_task", "/tasks?limit=1_0", INVALID),
    "status unknown": get("get_task", "/tasks?status=done", INVALID),
    "token not ours": get("get_task", "/tasks?pageToken=%F0%9F%98%80", INVALID),
    "token garbage": get("get_task", f"/tasks?pageToken=1.{NOBODY}0", INVALID),
    "account unknown": get("accounts", "/account/nobody", (404, "unknown_account")),
    "account with a slash": get("accounts", "/account/a%2fb", NONE),
    "account a dunder, asked": get("accounts", "/account/__a__", (404, "unknown_account")),
    "account limit text": Case("accounts", "PUT", "/account/a", b'{"limitCents":"1"}', INVALID),
    "account window": Case(
        "accounts", "PUT", "/account/a", b'{"limitCents":1,"window":"year"}', INVALID
    ),
    "run for another agent": Case(
        "agent_light", "POST", "/run", b'{"agent":"codex","payload":1}', INVALID
    ),
    "run with a bad key": Case(
        "agent_light",
        *("POST", "/run", b'{"payload":1}', INVALID),
        (JSON, ("Idempotency-Key", "x" * 256)),
    ),
    "run with two deadlines": Case(
        "agent_light", "POST", "/run", b'{"payload":1,"ttl":1,"ttlSeconds":1}', INVALID
    ),
    "run for ages": Case(
        "agent_light", "POST", "/run", b'{"payload":1,"ttl":90000000000}', INVALID
    ),
    "run without a payload": Case("agent_light", "POST", "/run", b"{}", INVALID),
    # Pushes: what can never succeed is acknowledged.
    "push not JSON": push(TAKEN, b"garbage"),
    "push without a message": push(TAKEN, {"subscription": "s"}),
    "push of an array": push(TAKEN, []),
    "push data not base64": push(TAKEN, {"message": {"data": "!!!!"}}),
    "push data not JSON": push(TAKEN, message(b"\xff\xfe")),
    "push data nested": push(TAKEN, message(b"[" * 10_000)),
    "push attributes not text": push(TAKEN, message({}, attributes={"a": 1})),
    "push result of nobody": push(TAKEN, message({"taskId": NOBODY, "status": "succeeded"})),
    "push result of a path": push(TAKEN, message({"taskId": "../x", "status": "succeeded"})),
    "push result NaN": push(TAKEN, message(b'{"taskId":"x","costCents":NaN}')),
    "push too large": push(TAKEN, b" " * (512 * 1024 + 1)),
    "push too large, chunked": Case("results", "POST", "/", [b" " * 8192] * 65, TAKEN),
    "push publishTime garbage": push(TAKEN, message({}, publishTime="yesterday")),
    "push task for another agent": push(
        TAKEN, message({"agent": "codex", "payload": 1}), "agent_light"
    ),
    "push task of nobody": push(
        TAKEN, message({"taskId": NOBODY, "payload": 1, "version": 5}), "agent_light"
    ),
    "push a deep payload": push(TAKEN, message(b"[" * 66 + b"]" * 66), "agent_light"),
    "push callback of nobody": push(TAKEN, message({"taskId": NOBODY}), "callback"),
    "push dead letter garbage": push(TAKEN, b"{}", "dead_letter"),
    "push a tick of anything": push(TAKEN, message({"any": "thing"}), "sweep"),
}

_CHUNKED = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
_CHUNKED += b"Transfer-Encoding: chunked\r\n\r\n"
_CUT = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
_CUT += b"Content-Length: 5000\r\n\r\n"

# Requests that HTTP clients do not send, for any path that takes a body.
BROKEN: Mapping[str, bytes] = {
    "a chunk's size is none": _CHUNKED + b"ZZZ\r\n",
    "a later chunk's size is none": _CHUNKED + b"2\r\n{}\r\nZZZ\r\n",
    "a chunk's size is negative": _CHUNKED + b"-5\r\n{}",
    "a chunk's size is huge": _CHUNKED + b"f" * 40 + b"\r\n{}",
    "a chunk is longer than its size": _CHUNKED + b"2\r\n{}xx0\r\n\r\n",
    "the last chunk is missing": _CHUNKED + b"2\r\n{}\r\n",
    "cut off within a chunk": _CHUNKED + b"5\r\n{}",
    "cut off": _CUT + b"{}",
    "cut off before it begins": _CUT,
}
