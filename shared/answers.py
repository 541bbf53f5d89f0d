"""What the functions answer, field by field: the shapes of the OpenAPI document."""

from __future__ import annotations

from marshmallow import INCLUDE, RAISE, Schema, fields, validate

from shared import ledgers
from shared.tasks import record

_STATES = ("pending", "delivered", "gone", "failed")


def _cents(about: str) -> fields.Float:
    return fields.Float(required=True, metadata={"description": f"cents: {about}"})


def _text(about: str, *, required: bool = False) -> fields.String:
    return fields.String(required=required, metadata={"description": about})


class Fault(Schema):
    """Why an attempt or a task failed."""

    class Meta:
        unknown = INCLUDE

    code = _text("stable; an agent may have codes of its own", required=True)
    detail = _text("for people", required=True)


class Event(Schema):
    """Something that happened to a task."""

    class Meta:
        unknown = RAISE

    event = fields.String(required=True)
    at = fields.DateTime(required=True)
    attempt = fields.Integer()
    chargedCents = fields.Float()  # noqa: N815 - fields are named as in the JSON
    error = fields.Nested(Fault)


class Callback(Schema):
    """What became of a task's callback so far."""

    class Meta:
        unknown = RAISE

    state = fields.String(required=True, validate=validate.OneOf(_STATES))
    attempts = fields.Integer(required=True)
    detail = _text("how the last try went")
    lastAttemptAt = fields.DateTime()  # noqa: N815
    nextAttemptAt = fields.DateTime()  # noqa: N815


class Step(Schema):
    """What an agent did once, and keeps."""

    class Meta:
        unknown = RAISE

    step = _text("its name", required=True)
    attempt = fields.Integer(required=True)
    costCents = _cents("charged for it; its worst case until it is done")  # noqa: N815
    done = fields.Boolean(required=True)


class Task(Schema):
    """A task."""

    class Meta:
        unknown = RAISE

    taskId = _text("32 hexadecimal digits", required=True)  # noqa: N815
    agent = _text("who does it", required=True)
    owner = _text("the e-mail of who dispatched it, where callers are told apart")
    status = fields.String(required=True, validate=validate.OneOf(record.STATUSES))
    attempts = fields.Integer(required=True)
    budgetCents = _cents("the most that all attempts together may cost")  # noqa: N815
    heldCents = _cents("of the budget, what it holds now; 0 once it has ended")  # noqa: N815
    costCents = _cents("charged so far; final once it and its children have ended")  # noqa: N815
    ttl = fields.Float(required=True, metadata={"description": "the deadline in Unix seconds"})
    createdAt = fields.DateTime(required=True)  # noqa: N815
    endedAt = fields.DateTime()  # noqa: N815
    traceId = fields.String(required=True)  # noqa: N815
    mode = fields.String(required=True, validate=validate.OneOf(("pubsub", "http")))
    account = _text("the shared budget that it holds its own from")
    idempotencyKey = fields.String()  # noqa: N815
    callbackUrl = fields.String()  # noqa: N815
    callback = fields.Nested(Callback)
    payload = fields.Raw(metadata={"description": "any JSON"})
    result = fields.Raw(metadata={"description": "any JSON; there once it has succeeded"})
    error = fields.Nested(Fault)
    progress = fields.Dict(metadata={"description": "what the agent last said of its progress"})
    steps = fields.List(fields.Nested(Step))
    parent = _text("the task that called for this one, and pays for it")
    children = fields.List(fields.String())
    redriveOf = _text("the task that this one does again")  # noqa: N815
    redrivenAs = _text("the task that does this one again")  # noqa: N815
    timeline = fields.List(fields.Nested(Event), required=True)


class Tasks(Schema):
    """A page of tasks, the newest first."""

    class Meta:
        unknown = RAISE

    tasks = fields.List(fields.Nested(Task), required=True)
    nextPageToken = _text("there where more may follow")  # noqa: N815


class Account(Schema):
    """A shared budget, with its window at hand."""

    class Meta:
        unknown = RAISE

    account = fields.String(required=True)
    window = fields.String(required=True, validate=validate.OneOf(ledgers.WINDOWS))
    owners = fields.List(fields.String(), required=True)
    period = _text("the window at hand: a day, a month, or total; in UTC", required=True)
    limitCents = _cents("a window's limit")  # noqa: N815
    spentCents = _cents("charged in this window by tasks that are settled")  # noqa: N815
    heldCents = _cents("held by tasks, or granted to processes that dispatch")  # noqa: N815
    freeCents = _cents("what can still be held")  # noqa: N815
    purses = fields.Integer(required=True, metadata={"description": "open grants"})


class Health(Schema):
    """The function is up."""

    class Meta:
        unknown = RAISE

    status = fields.String(required=True)


class Problem(Schema):
    """What went wrong (RFC 9457); some codes add members of their own."""

    class Meta:
        unknown = INCLUDE

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    code = fields.String(required=True)
    detail = _text("names the field and the mend", required=True)
    errors = fields.List(fields.Dict(), metadata={"description": "one {field, detail} a field"})
    retryAfter = fields.Integer(metadata={"description": "seconds; the header, too"})  # noqa: N815


class Webhook(Schema):
    """The body of a callback (Standard Webhooks 1.0.0)."""

    class Meta:
        unknown = RAISE

    type = _text("task.succeeded, task.failed, task.expired or task.cancelled", required=True)
    timestamp = fields.DateTime(required=True)
    data = fields.Nested(Task, required=True)
