"""The operations of the API, one by one: what each takes, answers, and refuses with which codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from shared import errors, schemas
from shared.tasks import record

JSON, PROBLEM = "application/json", "application/problem+json"

_EVERY = (errors.Error, errors.Misconfigured, errors.Unavailable)
_CALLER = (errors.Unauthenticated, errors.Forbidden, *_EVERY)
_BODY = (errors.Malformed, errors.TooLarge, errors.UnsupportedMediaType, errors.Invalid)
_TASK = (errors.NotFound, errors.UnknownTask, *_CALLER)
_TAKEN = (errors.InProgress, errors.KeyReused)
_MONEY = (errors.BudgetExceeded, errors.UnknownAccount)


def _in_path(name: str, pattern: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": f"^{pattern}$"}
    return {"name": name, "in": "path", "required": True, "schema": schema}


_TASK_ID = _in_path("taskId", record.ID.pattern)
_ACCOUNT = _in_path("account", schemas.ACCOUNT)
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "as `idempotencyKey` in the body, which wins",
    "schema": {"type": "string", "pattern": f"^{schemas.HEADER}$"},
}
_REPLAYED = {
    "Idempotent-Replayed": {
        "description": "`true` where an earlier request had done it",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
_LOCATION = {
    "Location": {"description": "the task", "required": True, "schema": {"type": "string"}}
}
_SAME = {"taskId": "$response.body#/taskId"}
_LINKS = {each: {"operationId": each, "parameters": _SAME} for each in ("getTask", "cancelTask")}
_RETRY = {"Retry-After": {"description": "seconds", "schema": {"type": "string"}}}


def answer(schema: str, about: str, **more: Mapping[str, Any]) -> dict[str, Any]:
    """A response with a body of that schema; `more` are its headers and links."""
    return {"description": about, "content": {JSON: {"schema": schema}}, **more}


def paths() -> dict[str, dict[str, Any]]:
    """Every operation, by path and method, with schemas by their names."""
    made: dict[str, Mapping[str, Any]] = {"headers": _LOCATION | _REPLAYED, "links": _LINKS}
    accepted = {202: answer("Task", "the task is under way", **made)}
    outcome = {200: answer("Task", "mode `http`: the outcome", **made)}
    query = {"in": "query"}
    return {
        "/dispatch": {
            "post": _operation(
                "dispatch",
                "Makes a task durable, with its budget held, and sends it on its way",
                outcome | accepted,
                (*_BODY, *_CALLER, *_MONEY, errors.UnknownAgent, errors.KeyReused),
                parameters=[_KEY],
                body="Dispatch",
            )
        },
        "/task/{taskId}": {
            "get": _operation(
                "getTask",
                "A task; with `wait`, as soon as it has ended, or after that many seconds",
                {200: answer("Task", "the task")},
                (*_TASK, errors.Invalid),
                parameters=[_TASK_ID, {**query, "schema": schemas.Wait}],
            )
        },
        "/tasks": {
            "get": _operation(
                "listTasks",
                "A page of the caller's tasks, the newest first; an admin sees all",
                {200: answer("Tasks", "the page")},
                (*_CALLER, errors.Invalid),
                parameters=[{**query, "schema": schemas.TaskList}],
            )
        },
        "/task/{taskId}/cancel": {
            "post": _operation(
                "cancelTask",
                "Ends a task at once; a running attempt is fenced off",
                {200: answer("Task", "the cancelled task")},
                (*_TASK, errors.TaskEnded),
                parameters=[_TASK_ID],
            )
        },
        "/task/{taskId}/redrive": {
            "post": _operation(
                "redriveTask",
                "Does a failed or expired task again, as a new one; for admins",
                accepted,
                (*_TASK, *_BODY, *_MONEY, errors.NotRedrivable),
                parameters=[_TASK_ID],
                body="Redrive",
                required=False,
            )
        },
        "/task/{taskId}/callback": {
            "post": _operation(
                "sendCallback",
                "Sends a task's callback once more; for admins",
                {202: answer("Task", "it is under way")},
                (*_TASK, errors.NotRedrivable),
                parameters=[_TASK_ID],
            )
        },
        "/account/{account}": {
            "get": _operation(
                "getAccount",
                "An account with its window at hand; for admins",
                {200: answer("Account", "the account")},
                (*_CALLER, errors.NotFound, errors.UnknownAccount),
                parameters=[_ACCOUNT],
            ),
            "put": _operation(
                "putAccount",
                "Makes an account, or changes it; for admins",
                {200: answer("Account", "the account")},
                (*_CALLER, *_BODY, errors.NotFound, errors.UnknownAccount),
                parameters=[_ACCOUNT],
                body="AccountLimit",
            ),
        },
        "/run": {
            "post": _operation(
                "run",
                "At an agent's own address: one attempt, while the caller waits",
                {200: answer("Task", "the task once it has ended", headers=_REPLAYED)},
                (*_BODY, *_CALLER, *_MONEY, errors.UnknownTask, *_TAKEN),
                parameters=[_KEY],
                body="Run",
            )
        },
        "/health": {
            "get": {
                "operationId": "health",
                "summary": "Whether this function is up",
                "responses": {"200": answer("Health", "it is")},
                "security": [],
            }
        },
    }


def webhook() -> dict[str, Any]:
    """What is posted to a `callbackUrl` once its task has ended."""
    headers = [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    ]
    return {
        "summary": "A task has ended (Standard Webhooks 1.0.0)",
        "parameters": headers,
        "requestBody": {"required": True, "content": {JSON: {"schema": "Webhook"}}},
        "responses": {
            "2XX": {"description": "taken"},
            "410": {"description": "never again"},
            "default": {"description": "tried again, after Retry-After if that is there"},
        },
    }


def _operation(
    name: str,
    summary: str,
    answers: Mapping[int, Any],
    refusals: Iterable[type[errors.Error]],
    *,
    parameters: Sequence[Mapping[str, Any]] = (),
    body: str = "",
    required: bool = True,
) -> dict[str, Any]:
    by_status: dict[int, list[type[errors.Error]]] = {}
    for error in dict.fromkeys(refusals):
        by_status.setdefault(error.status, []).append(error)
    responses = {**answers, **{status: _refusal(every) for status, every in by_status.items()}}
    operation = {
        "operationId": name,
        "summary": summary,
        "parameters": list(parameters),
        "responses": {str(status): responses[status] for status in sorted(responses)},
    }
    if body:
        content = {JSON: {"schema": body}}
        operation["requestBody"] = {"required": required, "content": content}
    return operation


def _refusal(every: Sequence[type[errors.Error]]) -> dict[str, Any]:
    """A response with every error of one status, each with its example."""
    status = every[0].status
    content = {
        "schema": "Problem",
        "examples": {error.code: {"value": error().problem()} for error in every},
    }
    headers: dict[str, Any] = _RETRY if status in (402, 409, 503) else {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
    about = "; ".join(f"`{error.code}`" for error in every)
    return {
        "description": f"{HTTPStatus(status).phrase}: {about}",
        "content": {PROBLEM: content},
        **({"headers": headers} if headers else {}),
    }
