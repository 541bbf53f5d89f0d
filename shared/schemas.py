"""What comes from outside, field by field: exact types, stated limits; the rest is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, validate

from shared import errors, fields as types, ledgers
from shared.tasks import record

CODE = r"[a-z][a-z0-9_]{0,63}"  # of a fault
ACCOUNT = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
KEY = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"  # of a step or a call
NAME = r"[a-z][a-z0-9-]{0,39}"  # an agent's
URL = r"https?://[!-~]+"  # `callbacks` knows better
HEADER = r"[!-~]{1,255}"  # a key in a header
PAGE = r"[0-9]{1,16}\.[0-9a-f]{32}"  # where the page before it ended: createdAt.id
UNKNOWN = "Unknown field"  # as marshmallow says it
EPOCH, END = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
TRACEPARENT = r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"


class _Run(Schema):
    payload = types.Json(required=True)
    ttl = types.UnixTime()
    ttlSeconds = types.Seconds()  # noqa: N815 - fields are named as in the JSON
    budgetCents = types.Cents()  # noqa: N815
    idempotencyKey = types.Text(allow_none=True)  # noqa: N815
    traceId = types.Text(most=128)  # noqa: N815
    traceparent = types.Text(pattern=TRACEPARENT)
    callbackUrl = types.Text(pattern=URL, most=2048, allow_none=True)  # noqa: N815
    account = types.Text(pattern=ACCOUNT, allow_none=True)
    agent = types.Text(pattern=NAME)


class Dispatch(_Run):
    """`POST /dispatch`."""

    class Meta:
        unknown = RAISE

    agent = types.Text(pattern=NAME, required=True)
    budgetCents = types.Cents(required=True)  # noqa: N815
    mode = types.Text(pattern="pubsub|http", load_default="pubsub")


class Run(_Run):
    """`POST /run`, and the data of a message on `tasks`; with `taskId`, of a task that exists."""

    class Meta:
        unknown = EXCLUDE  # a newer dispatcher may say more

    taskId = types.Text(pattern=record.ID.pattern)  # noqa: N815
    version = types.Whole()
    attempts = types.Whole(most=1000)
    maxAttempts = types.Whole(most=1000)  # noqa: N815
    chargedCents = types.Cents()  # noqa: N815
    owner = types.Text()
    parent = types.Text(pattern=record.ID.pattern)
    parentKey = types.Text(pattern=KEY)  # noqa: N815
    depth = types.Whole(most=100)
    resumed = types.Flag()


class Account(Schema):
    """`PUT /account/{id}`."""

    class Meta:
        unknown = RAISE

    limitCents = types.Cents(required=True)  # noqa: N815
    window = types.Text(pattern="|".join(ledgers.WINDOWS), load_default="total")
    owners = fields.List(types.Text(), load_default=list, validate=validate.Length(max=100))


class Redrive(Schema):
    """`POST /task/{id}/redrive`: what is not named stays as it was."""

    class Meta:
        unknown = RAISE

    ttl = types.UnixTime()
    ttlSeconds = types.Seconds()  # noqa: N815
    budgetCents = types.Cents()  # noqa: N815
    account = types.Text(pattern=ACCOUNT, allow_none=True)


class Fault(Schema):
    """Why an attempt failed."""

    class Meta:
        unknown = EXCLUDE

    code = types.Text(pattern=CODE, load_default="agent_error")
    detail = fields.String(validate=validate.Length(max=4000), load_default="")
    limitCents = types.Amount()  # noqa: N815
    spentCents = types.Amount()  # noqa: N815


class Result(Schema):
    """The data of a message on `results`."""

    class Meta:
        unknown = EXCLUDE

    taskId = types.Text(pattern=record.ID.pattern, required=True)  # noqa: N815
    status = types.Text(pattern="succeeded|failed|expired", required=True)
    attempt = types.Whole(most=1000)
    version = types.Whole()
    refused = types.Flag()
    agent = types.Text(pattern=NAME)
    result = types.Json()
    error = fields.Nested(Fault)
    costCents = types.Cents()  # noqa: N815
    budgetCents = types.Cents()  # noqa: N815
    traceId = types.Text(most=128)  # noqa: N815
    traceparent = types.Text(pattern=TRACEPARENT)
    callbackUrl = types.Text(most=2048)  # noqa: N815
    parent = types.Text(pattern=record.ID.pattern, allow_none=True)
    parentKey = types.Text(pattern=KEY)  # noqa: N815


class Callback(Schema):
    """The data of a message on `callbacks`."""

    class Meta:
        unknown = EXCLUDE

    taskId = types.Text(pattern=record.ID.pattern, required=True)  # noqa: N815


class PushMessage(Schema):
    """The message of a push."""

    class Meta:
        unknown = EXCLUDE

    data = fields.String(load_default="")
    attributes = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)
    messageId = types.Text(load_default="")  # noqa: N815
    publishTime = fields.AwareDateTime(  # noqa: N815
        load_default=None, validate=validate.Range(EPOCH, END, error="must be a time of Pub/Sub's")
    )


class Push(Schema):
    """The envelope of a push: https://cloud.google.com/pubsub/docs/push."""

    class Meta:
        unknown = EXCLUDE

    message = fields.Nested(PushMessage, required=True)
    subscription = fields.String(load_default="")
    deliveryAttempt = types.Whole(load_default=None, allow_none=True)  # noqa: N815


class TaskList(Schema):
    """The query of `GET /tasks`."""

    class Meta:
        unknown = RAISE

    agent = types.Text(pattern=NAME)
    status = types.Text(pattern="|".join(record.STATUSES))
    account = types.Text(pattern=ACCOUNT)
    limit = types.Parameter(1, 500, whole=True, load_default=50)
    pageToken = types.Text(pattern=PAGE)  # noqa: N815


class Wait(Schema):
    """The query of `GET /task/{id}`."""

    class Meta:
        unknown = RAISE

    wait = types.Parameter(0, 300, load_default=0)


def load(schema: Schema, data: Any) -> dict[str, Any]:
    """The values of an object; raises `errors.Invalid`, which names every field and its mend."""
    if not isinstance(data, Mapping):
        raise errors.Invalid(f"the body must be a JSON object, not {types.json_type(data)}")
    try:
        loaded: dict[str, Any] = schema.load(data)
    except ValidationError as error:
        known = iter([f"unknown; the fields are {', '.join(schema.fields)}"])  # to be told once
        errors.refuse(
            [
                (path, next(known, "unknown") if problem == UNKNOWN else problem)
                for path, problem in _flat(error.messages)
            ]
        )
    return loaded


def _flat(messages: Any, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(messages, Mapping):
        return [
            problem
            for name, nested in messages.items()
            for problem in _flat(nested, f"{prefix}.{name}" if prefix else str(name))
        ]
    return [(prefix, str(message).rstrip(".")) for message in messages]


def task_id(text: str) -> str:
    """The id, if it can be one; raises `errors.UnknownTask` before the store sees anything else."""
    if not record.ID.fullmatch(text):
        raise errors.UnknownTask("a task's id has 32 hexadecimal digits")
    return text


def account_id(text: str) -> str:
    """The id, if it can be one; raises `errors.UnknownAccount` before the store sees it."""
    if not re.fullmatch(ACCOUNT, text):
        raise errors.UnknownAccount(f"an account's id matches {ACCOUNT}")
    return text
