"""Callers: each sees and spends what is theirs; whose token does not pass is nobody here."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from emulators import tokens
from shared import config, errors, runtime
from shared.tasks import commits, transitions
from shared.tasks.record import Outcome
from tests.doors import conftest, forged
from tests.doors.conftest import Certs, serving

AUDIENCE = "https://dispatch.example.com"
ANN, BOB, ROOT, MACHINE = (f"{name}@example.com" for name in ("ann", "bob", "root", "machine"))
ORDER: dict[str, Any] = {"agent": "light", "payload": 1, "ttlSeconds": 60, "budgetCents": 10}


@pytest.fixture
def house(settings: config.Config) -> Iterator[config.Config]:
    """Functions that tell callers apart, by tokens that they verify themselves."""
    settings = dataclasses.replace(
        settings,
        backend="embedded",
        caller_auth="oidc",
        caller_audience=(AUDIENCE, "https://other.example.com"),
        callers=(ANN, BOB),
        admins=(ROOT,),
        orchestrators=(MACHINE,),
    )
    with runtime.using(runtime.Services(settings)):
        yield settings


@pytest.fixture
def ask(house: config.Config, issuer: tokens.Issuer) -> Any:
    """Asks a function in somebody's name."""

    def ask(who: str, target: str, method: str, path: str, **kwargs: Any) -> Any:
        headers = dict(forged.bearer(issuer.token(AUDIENCE, who)))
        headers.update(kwargs.pop("headers", {}))
        return serving(target).open(path, method=method, headers=headers, **kwargs)

    return ask


def test_every_forged_token_is_401_at_every_door_for_callers(
    house: config.Config, issuer: tokens.Issuer
) -> None:
    doors = [
        ("dispatch", "POST", "/dispatch"),
        ("dispatch", "POST", f"/task/{'0' * 32}/redrive"),
        ("dispatch", "POST", f"/task/{'0' * 32}/callback"),
        ("get_task", "GET", f"/task/{'0' * 32}"),
        ("get_task", "GET", "/tasks"),
        ("cancel_task", "POST", f"/task/{'0' * 32}/cancel"),
        ("accounts", "GET", "/account/a"),
        ("accounts", "PUT", "/account/a"),
        ("agent_light", "POST", "/run"),
    ]
    cases = forged.cases(issuer, AUDIENCE, ANN)
    strangers = [name for name in cases if name.startswith("claim: email '")]
    for target, method, path in doors:
        client = serving(target)
        outcomes = {
            name: client.open(path, method=method, headers=headers, json=ORDER).status_code
            for name, headers in cases.items()
        }
        # A genuine token of somebody who may not call is known, and forbidden.
        assert {name for name, status in outcomes.items() if status == 403} <= set(strangers)
        assert set(outcomes.values()) <= {401, 403}, f"{target} {path}"


def test_a_task_belongs_to_who_dispatched_it(ask: Any) -> None:
    task = ask(ANN, "dispatch", "POST", "/dispatch", json=ORDER).json
    path = f"/task/{task['taskId']}"
    assert task["owner"] == ANN
    assert ask(ANN, "get_task", "GET", path).status_code == 200
    assert ask(ROOT, "get_task", "GET", path).status_code == 200
    other = ask(BOB, "get_task", "GET", path)
    assert (other.status_code, other.json["code"]) == (404, "unknown_task")
    nobodys = ask(BOB, "get_task", "GET", f"/task/{'0' * 32}").json
    assert other.json == {**nobodys, "detail": f"there is no task {task['taskId']}"}
    assert ask(BOB, "cancel_task", "POST", f"{path}/cancel").status_code == 404
    assert ask(ANN, "cancel_task", "POST", f"{path}/cancel").json["status"] == "cancelled"


def test_a_page_shows_a_caller_their_own_tasks_and_an_admin_all(ask: Any) -> None:
    for who in (ANN, BOB, ANN):
        ask(who, "dispatch", "POST", "/dispatch", json=ORDER)

    def owners(who: str) -> list[str]:
        return [task["owner"] for task in ask(who, "get_task", "GET", "/tasks").json["tasks"]]

    assert owners(BOB) == [BOB]
    assert owners(ANN) == [ANN, ANN]
    assert sorted(owners(ROOT)) == [ANN, ANN, BOB]
    assert ask(BOB, "get_task", "GET", f"/tasks?owner={ANN}").status_code == 422


def test_one_idempotency_key_of_two_callers_is_two_tasks(ask: Any) -> None:
    order = {**ORDER, "idempotencyKey": "k"}
    ids = [ask(who, "dispatch", "POST", "/dispatch", json=order) for who in (ANN, BOB, ANN)]
    assert ids[0].json["taskId"] == ids[2].json["taskId"] != ids[1].json["taskId"]
    assert "Idempotent-Replayed" not in ids[1].headers


def test_what_an_admin_may_do_nobody_else_may(ask: Any) -> None:
    task = ask(ANN, "dispatch", "POST", "/dispatch", json=ORDER).json["taskId"]
    limit = {"limitCents": 100}
    for who, status in ((ANN, 403), (MACHINE, 403), (ROOT, 200)):
        assert ask(who, "accounts", "PUT", "/account/a", json=limit).status_code == status
        assert ask(who, "accounts", "GET", "/account/a").status_code == status
    for path in ("redrive", "callback"):
        refused = ask(ANN, "dispatch", "POST", f"/task/{task}/{path}")
        assert (refused.status_code, refused.json["code"]) == (403, "forbidden")
        assert ask(ROOT, "dispatch", "POST", f"/task/{task}/{path}").status_code == 409


def test_an_account_with_owners_pays_for_them_alone(ask: Any) -> None:
    limited = {"limitCents": 15, "owners": [ANN]}
    assert ask(ROOT, "accounts", "PUT", "/account/a", json=limited).status_code == 200
    order = {**ORDER, "account": "a"}
    for who, status in ((BOB, 403), (ROOT, 403), (ANN, 202), (BOB, 403)):
        assert ask(who, "dispatch", "POST", "/dispatch", json=order).status_code == status
    assert ask(ANN, "dispatch", "POST", "/dispatch", json=order).status_code == 402


def push(issuer: tokens.Issuer, data: Any, message_id: str) -> Any:
    """The answer to a message that somebody published straight to `tasks`."""
    encoded = base64.b64encode(json.dumps(data).encode()).decode()
    envelope = {"message": {"data": encoded, "messageId": message_id}, "subscription": "s"}
    headers = dict(forged.bearer(issuer.token(conftest.AUDIENCE, conftest.EMAIL)))
    return serving("agent_light").post("/pubsub/push", json=envelope, headers=headers)


def failed(task_id: str) -> str:
    """Lets a task fail; returns where it is."""
    current = runtime.current()
    error = transitions.fault("agent_failed", "no")
    commits.finish(current, commits.get(current, task_id), Outcome(status="failed", error=error))
    return f"/task/{task_id}"


def test_no_other_door_leads_to_an_account_that_is_not_ones_own(
    ask: Any, issuer: tokens.Issuer
) -> None:
    """A run, an admin's redrive and a bare message hold its money by the same rule."""
    limited = {"limitCents": 1000, "owners": [ANN]}
    assert ask(ROOT, "accounts", "PUT", "/account/a", json=limited).status_code == 200
    run = {"payload": 1, "account": "a"}
    for who, status in ((BOB, 403), (ROOT, 403), (ANN, 200), (BOB, 403)):
        assert ask(who, "agent_light", "POST", "/run", json=run).status_code == status
    for who, status in ((BOB, 403), (ANN, 202)):
        theirs = ask(who, "dispatch", "POST", "/dispatch", json=ORDER).json["taskId"]
        path = f"{failed(theirs)}/redrive"
        answer = ask(ROOT, "dispatch", "POST", path, json={"account": "a"})
        assert answer.status_code == status
    assert push(issuer, run, "m1").status_code == 204
    store = runtime.current().store
    assert store.get("dead_letters/m1").data["code"] == "forbidden"
    owners = [
        task["owner"] for task in ask(ROOT, "get_task", "GET", "/tasks?account=a").json["tasks"]
    ]
    assert owners == [ANN, ANN]


def test_a_bare_message_waits_for_money_that_others_hold_for_now(
    ask: Any, issuer: tokens.Issuer
) -> None:
    assert ask(ROOT, "accounts", "PUT", "/account/a", json={"limitCents": 15}).status_code == 200
    order = {**ORDER, "account": "a"}
    assert ask(ANN, "dispatch", "POST", "/dispatch", json=order).status_code == 202
    answer = push(issuer, {"payload": 1, "account": "a", "budgetCents": 10}, "m1")
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert push(issuer, {"payload": 1, "account": "a", "budgetCents": 20}, "m2").status_code == 204
    assert runtime.current().store.get("dead_letters/m2").data["code"] == "budget_exceeded"


def test_a_run_s_key_is_its_caller_s_own(ask: Any) -> None:
    run = {"payload": 1, "idempotencyKey": "k"}
    ids = [ask(who, "agent_light", "POST", "/run", json=run).json["taskId"] for who in (ANN, BOB)]
    again = ask(ANN, "agent_light", "POST", "/run", json=run)
    assert (again.json["taskId"], again.json["owner"]) == (ids[0], ANN)
    assert ids[0] != ids[1]


def test_a_task_that_exists_is_run_by_the_orchestrator_alone(ask: Any) -> None:
    task = ask(ANN, "dispatch", "POST", "/dispatch", json=ORDER).json["taskId"]
    named = {"taskId": task, "payload": 1}
    for who in (ANN, ROOT):
        assert ask(who, "agent_light", "POST", "/run", json=named).status_code == 403
    assert ask(MACHINE, "agent_light", "POST", "/run", json=named).json["status"] == "succeeded"
    own = ask(BOB, "agent_light", "POST", "/run", json={"payload": 2}).json
    assert (own["owner"], own["result"]) == (BOB, {"echo": 2})


def test_a_stranger_with_a_genuine_token_is_forbidden(ask: Any) -> None:
    answer = ask("mallory@example.com", "dispatch", "POST", "/dispatch", json=ORDER)
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")


def test_health_asks_nobody(house: config.Config) -> None:
    for target in ("dispatch", "get_task", "agent_light", "results"):
        assert serving(target).get("/health").status_code == 200


def test_behind_iam_the_stripped_token_tells_who_calls(
    house: config.Config, issuer: tokens.Issuer, certs: Certs
) -> None:
    settings = dataclasses.replace(house, caller_auth="iam", caller_audience=(), callers=())
    token = issuer.token("32555940559.apps.googleusercontent.com", ANN)
    stripped = f"Bearer {token.rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE"
    with runtime.using(runtime.Services(settings)):
        client = serving("dispatch")
        answer = client.post("/dispatch", json=ORDER, headers={"Authorization": stripped})
        assert (answer.status_code, answer.json["owner"]) == (202, ANN)
        unchecked = client.post("/dispatch", json=ORDER, headers=forged.bearer(token))
        assert unchecked.status_code == 401
        assert client.post("/dispatch", json=ORDER).status_code == 401
    assert certs.asked == 0


def test_on_cloud_run_callers_are_told_apart_unless_one_says_otherwise() -> None:
    assert config.load({}).caller_mode == "none"
    assert config.load({"K_SERVICE": "dispatch"}).caller_mode == "iam"
    assert config.load({"K_SERVICE": "dispatch", "CALLER_AUTH": "none"}).caller_mode == "none"
    with pytest.raises(errors.Misconfigured, match="CALLERS"):
        config.load({"CALLER_AUTH": "oidc", "CALLER_AUDIENCE": "x"})
