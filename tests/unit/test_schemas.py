"""What comes from outside is taken exactly as it is meant, or refused by the field's name."""

from __future__ import annotations

from typing import Any

import pytest
from marshmallow import Schema

from shared import errors, schemas

ID = "0123456789abcdef0123456789abcdef"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DISPATCH = {"agent": "light", "payload": 1, "budgetCents": 10, "ttlSeconds": 60}

GOOD: dict[str, tuple[dict[str, Any], str, Any]] = {
    "any payload: null": ({"payload": None}, "payload", None),
    "any payload: a list": ({"payload": [1, "2"]}, "payload", [1, "2"]),
    "ttl in Unix seconds": ({"ttl": 1_800_000_000}, "ttl", 1_800_000_000_000_000),
    "ttl with a fraction": ({"ttl": 1_800_000_000.123457}, "ttl", 1_800_000_000_123_457),
    "ttlSeconds": ({"ttlSeconds": 0.5}, "ttlSeconds", 500_000),
    "ttlSeconds to the microsecond": ({"ttlSeconds": 0.000003}, "ttlSeconds", 3),
    "a week": ({"ttlSeconds": 604_800}, "ttlSeconds", 604_800_000_000),
    "a fraction of a cent": ({"budgetCents": 4.9999}, "budgetCents", 49_999),
    "no money": ({"budgetCents": 0}, "budgetCents", 0),
    "the default mode": ({}, "mode", "pubsub"),
    "http mode": ({"mode": "http"}, "mode", "http"),
    "any key": ({"idempotencyKey": "Grüße 😀"}, "idempotencyKey", "Grüße 😀"),
    "no key": ({"idempotencyKey": None}, "idempotencyKey", None),
    "a trace": ({"traceparent": PARENT}, "traceparent", PARENT),
    "an account": ({"account": "team-a.1_B"}, "account", "team-a.1_B"),
    "an agent with a hyphen": ({"agent": "code-x2"}, "agent", "code-x2"),
}

BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no agent": ({"agent": None}, "agent", "null"),
    "an agent's name in capitals": ({"agent": "Light"}, "agent", "must match"),
    "an agent's name of two lines": ({"agent": "light\n"}, "agent", "must match"),
    "ttl as text": ({"ttl": "1800000000"}, "ttl", "must be a number of Unix seconds, not text"),
    "ttl in milliseconds": ({"ttl": 1_800_000_000_000}, "ttl", "looks like milliseconds"),
    "ttl before 1970": ({"ttl": -1}, "ttl", "lies in the past"),
    "ttl as a boolean": ({"ttl": True}, "ttl", "not a boolean"),
    "ttlSeconds of nothing": ({"ttlSeconds": 0}, "ttlSeconds", "more than 0"),
    "ttlSeconds backwards": ({"ttlSeconds": -5}, "ttlSeconds", "more than 0"),
    "ttlSeconds beyond a week": ({"ttlSeconds": 604_801}, "ttlSeconds", "at most 604800"),
    "a budget as text": ({"budgetCents": "10"}, "budgetCents", "a number of cents, not text"),
    "a negative budget": ({"budgetCents": -1}, "budgetCents", "between 0 and"),
    "a budget too fine": ({"budgetCents": 0.00001}, "budgetCents", "at most 4 decimals"),
    "a budget too large": ({"budgetCents": 1e300}, "budgetCents", "between 0 and"),
    "a budget as a boolean": ({"budgetCents": True}, "budgetCents", "not a boolean"),
    "an unknown mode": ({"mode": "queue"}, "mode", "must match pubsub|http"),
    "an empty key": ({"idempotencyKey": ""}, "idempotencyKey", "1 to 255 characters"),
    "a long key": ({"idempotencyKey": "k" * 256}, "idempotencyKey", "1 to 255 characters"),
    "a key with a control character": ({"idempotencyKey": "a\0"}, "idempotencyKey", "must match"),
    "a key as a number": ({"idempotencyKey": 5}, "idempotencyKey", "must be text, not a number"),
    "a broken trace": ({"traceparent": PARENT[:-1]}, "traceparent", "must match"),
    "an account that is a path": ({"account": "a/b"}, "account", "must match"),
    "an unknown field": ({"prioritty": 1}, "prioritty", "unknown; the fields are payload, ttl,"),
}


def refused(schema: Schema, data: Any) -> list[dict[str, str]]:
    """The fields that a problem document names."""
    with pytest.raises(errors.Invalid) as caught:
        schemas.load(schema, data)
    named: list[dict[str, str]] = caught.value.members["errors"]
    assert all(f"{each['field']}: {each['detail']}" in caught.value.detail for each in named)
    return named


@pytest.mark.parametrize(("given", "name", "value"), GOOD.values(), ids=GOOD)
def test_what_is_meant_is_taken(given: dict[str, Any], name: str, value: Any) -> None:
    loaded = schemas.load(schemas.Dispatch(), {**DISPATCH, **given})
    assert (loaded[name], type(loaded[name])) == (value, type(value))


@pytest.mark.parametrize(("given", "name", "why"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_refused_by_its_name(given: dict[str, Any], name: str, why: str) -> None:
    problems = refused(schemas.Dispatch(), {**DISPATCH, **given})
    assert {problem["field"] for problem in problems} == {name}
    assert why.lower() in problems[0]["detail"].lower()


@pytest.mark.parametrize("name", ["agent", "payload", "budgetCents"])
def test_what_is_required_is_asked_for(name: str) -> None:
    given = {each: value for each, value in DISPATCH.items() if each != name}
    assert [each["field"] for each in refused(schemas.Dispatch(), given)] == [name]


def test_everything_that_is_wrong_is_named_at_once() -> None:
    found = refused(schemas.Dispatch(), {"agent": 1, "budgetCents": "x", "colour": "red"})
    assert {each["field"] for each in found} == {"agent", "budgetCents", "payload", "colour"}


@pytest.mark.parametrize("data", [None, 1, "text", [], True])
def test_a_body_that_is_no_object_is_refused(data: Any) -> None:
    with pytest.raises(errors.Invalid, match="must be a JSON object"):
        schemas.load(schemas.Dispatch(), data)


def test_a_message_may_say_more_than_is_known() -> None:
    assert schemas.load(schemas.Run(), {"payload": 1, "newer": 2}) == {"payload": 1}
    assert "newer" not in schemas.load(
        schemas.Result(), {"taskId": ID, "status": "succeeded", "newer": 2}
    )


RESULTS: dict[str, tuple[dict[str, Any], str]] = {
    "an id that is none": ({"taskId": "a/b"}, "taskId"),
    "a state that no result has": ({"status": "cancelled"}, "status"),
    "an attempt that is none": ({"attempt": -1}, "attempt"),
    "a version as a float": ({"version": 1.5}, "version"),
    "a refusal as a number": ({"refused": 1}, "refused"),
    "a fault that is text": ({"error": "no"}, "error"),
    "a code that is none": ({"error": {"code": "No!"}}, "error.code"),
    "a fault too long": ({"error": {"code": "x", "detail": "x" * 4001}}, "error.detail"),
}


@pytest.mark.parametrize(("given", "name"), RESULTS.values(), ids=RESULTS)
def test_a_result_that_is_wrong_is_refused_by_the_path_of_its_field(
    given: dict[str, Any], name: str
) -> None:
    [problem] = refused(schemas.Result(), {"taskId": ID, "status": "failed", **given})
    assert problem["field"].startswith(name)


@pytest.mark.parametrize("status", ["succeeded", "failed", "expired"])
def test_a_result_needs_a_task_and_a_state_alone(status: str) -> None:
    assert schemas.load(schemas.Result(), {"taskId": ID, "status": status})["status"] == status


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_time_that_nobody_could_show_again_is_refused(time: str) -> None:
    [problem] = refused(schemas.Push(), {"message": {"publishTime": time}})
    assert problem["field"] == "message.publishTime"
    good = {"publishTime": "2026-01-01T00:00:00.123456789Z"}
    assert schemas.load(schemas.Push(), {"message": good})["message"]["publishTime"]


def test_a_fault_keeps_the_amounts_that_it_names() -> None:
    fault = {"code": "budget_exceeded", "detail": "no", "limitCents": 1.5, "spentCents": 0}
    loaded = schemas.load(schemas.Result(), {"taskId": ID, "status": "failed", "error": fault})
    assert loaded["error"] == fault


QUERIES: dict[str, list[tuple[str, Any]]] = {
    "limit": [("1", 1), ("500", 500), ("0", None), ("501", None), ("1.5", None), ("x", None)],
    "status": [("running", "running"), ("done", None)],
    "agent": [("light", "light"), ("Light", None)],
    "colour": [("red", None)],
}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [(name, text, value) for name, cases in QUERIES.items() for text, value in cases],
)
def test_a_query_is_taken_or_refused(name: str, text: str, value: Any) -> None:
    if value is None:
        assert refused(schemas.TaskList(), {name: text})[0]["field"] == name
    else:
        assert schemas.load(schemas.TaskList(), {name: text})[name] == value


@pytest.mark.parametrize("text", ["-1", "301", "1e3", "nan", "inf", "x", "", "٣"])
def test_a_wait_is_a_number_of_seconds(text: str) -> None:
    assert schemas.load(schemas.Wait(), {"wait": "2.5"}) == {"wait": 2.5}
    assert refused(schemas.Wait(), {"wait": text})[0]["field"] == "wait"


@pytest.mark.parametrize(
    "text", ["", "a/b", "..", ID.upper(), ID[:-1], ID + "0", ID + "\n", "g" * 32, "__name__"]
)
def test_an_id_that_is_none_never_reaches_the_store(text: str) -> None:
    assert schemas.task_id(ID) == ID
    with pytest.raises(errors.UnknownTask):
        schemas.task_id(text)
