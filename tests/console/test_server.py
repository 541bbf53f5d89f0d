"""The console's server side: what it lets in, what it sends, and that it works by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from functions_framework import create_app

from shared import ledgers
from shared.storage.store import Put, Store
from tests.console import alone, seed

ACTIONS = [
    ("POST", "/dispatch"),
    ("POST", f"/task/{'0' * 32}/cancel"),
    ("POST", f"/task/{'0' * 32}/redrive"),
    ("POST", f"/task/{'0' * 32}/callback"),
    ("PUT", "/account/demo"),
]
ORDER = {"agent": "light", "payload": {"a": 1}, "ttlSeconds": 60, "budgetCents": 10}


def fill(store: Store, now: int) -> None:
    seed.many(store, now, 3)
    for make in (seed.nasty, seed.retried, seed.accounts):
        make(store, now)


@pytest.fixture
def console(tmp_path: Path) -> Iterator[alone.Console]:
    with alone.serving(tmp_path, fill) as console:
        yield console


@pytest.mark.parametrize("path", ["/", "/console/dispatch", "/console/account/demo"])
def test_a_page_loads_nothing_but_its_own_files(console: alone.Console, path: str) -> None:
    answer = console.app.test_client().get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert not re.search(r'(src|href|action)="(?!#|/[^/])', answer.text)
    assert "<script>" not in answer.text
    assert "style=" not in answer.text


def test_what_stands_in_a_page_is_escaped(tmp_path: Path) -> None:
    bad = "\"><img src=x onerror=alert('x')>"
    with alone.serving(tmp_path, fill, GCP_PROJECT=bad, AGENTS=bad) as console:
        for path in ("/", f"/console/account/{bad}", f"/console/task/{bad}"):
            text = console.app.test_client().get(path).text
            assert "<img src=x" not in text
            assert "&lt;img src=x" in text


def test_files_are_kept_for_ever_under_an_address_that_changes_with_them(
    console: alone.Console,
) -> None:
    client = console.app.test_client()
    [static] = set(re.findall(r"/console/static/\w+", client.get("/").text))
    assert client.get(f"{static}/dom.js").headers["Cache-Control"].endswith("immutable")
    assert client.get("/console/static/old/dom.js").headers["Cache-Control"] == "no-cache"
    assert client.get(f"{static}/../main.py").status_code == 404
    assert client.get(f"{static}/main.py").status_code == 404


@pytest.mark.parametrize(("method", "path"), ACTIONS)
def test_read_only_it_shows_and_changes_nothing(tmp_path: Path, method: str, path: str) -> None:
    with alone.serving(tmp_path, fill, CONSOLE_READ_ONLY="true") as console:
        client = console.app.test_client()
        assert client.open(path, method=method, json={}).status_code == 403
        assert len(client.post("/console/api/tasks", json={}).json["tasks"]) == 5
        assert 'data-readonly="true"' in client.get("/").text


@pytest.mark.parametrize(("method", "path"), ACTIONS)
def test_another_site_s_page_cannot_make_it_act(
    console: alone.Console, method: str, path: str
) -> None:
    for site in ("cross-site", "same-site"):
        answer = console.app.test_client().open(
            path, method=method, json={}, headers={"Sec-Fetch-Site": site}
        )
        assert answer.status_code == 403


def test_only_an_admin_gets_in(tmp_path: Path) -> None:
    settings = {"CALLER_AUTH": "iam", "CALLER_AUDIENCE": "https://console", "ADMINS": "a@b.example"}
    with alone.serving(tmp_path, fill, **settings) as console:
        client = console.app.test_client()
        for rule in ("/", "/console/health", "/console/api/accounts", "/console/static/x/dom.js"):
            assert client.get(rule).status_code == 401
        assert client.post("/console/api/tasks", json={}).status_code == 401
        assert client.get("/health").status_code == 200


def test_by_itself_it_dispatches_cancels_and_redrives(console: alone.Console) -> None:
    client = console.app.test_client()
    made = client.post("/dispatch", json={**ORDER, "idempotencyKey": "k", "account": "demo"})
    assert made.status_code == 202
    again = client.post("/dispatch", json={**ORDER, "idempotencyKey": "k", "account": "demo"})
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json["taskId"] == made.json["taskId"]
    task = made.headers["Location"]
    assert client.get(task).json["status"] == "queued"
    assert client.post(f"{task}/cancel").json["status"] == "cancelled"
    assert client.post(f"{task}/callback").status_code == 409  # it has none
    failed = f"/task/{seed.id_(900_002)}"
    redriven = client.post(f"{failed}/redrive")
    assert redriven.status_code == 202
    assert redriven.json["redriveOf"] == seed.id_(900_002)


@pytest.mark.parametrize(
    ("function", "method", "path", "body"),
    [
        ("dispatch", "POST", "/dispatch", {**ORDER, "idempotencyKey": "same"}),
        ("dispatch", "POST", "/dispatch", {**ORDER, "agent": "nobody"}),
        ("dispatch", "POST", "/dispatch", {**ORDER, "ttl": 5}),
        ("dispatch", "POST", f"/task/{seed.id_(0)}/redrive", None),
        ("dispatch", "POST", f"/task/{seed.id_(900_001)}/callback", None),
        ("get_task", "GET", f"/task/{seed.id_(0)}", None),
        ("get_task", "GET", "/task/unknown", None),
        ("cancel_task", "POST", f"/task/{seed.id_(0)}/cancel", None),
        ("accounts", "PUT", "/account/demo", {"limitCents": 7.5, "window": "month"}),
        ("accounts", "PUT", "/account/demo", {"limitCents": -1}),
    ],
)
def test_it_answers_as_the_function_of_that_path_does(
    console: alone.Console, function: str, method: str, path: str, body: Any
) -> None:
    """Asked one after the other: a replay, a refusal or the same change again."""
    source = alone.ROOT / "functions" / function / "main.py"
    ours, theirs = console.app, create_app(function, str(source))
    first, second = (
        app.test_client().open(path, method=method, json=body) for app in (ours, theirs)
    )
    assert first.status_code == second.status_code
    assert first.json == second.json


def test_money_that_lasts_for_ages_has_no_date(tmp_path: Path) -> None:
    def rich(store: Store, now: int) -> None:
        task = seed.base(7, now - 60 * seed.MINUTE, account="rich", held=200)
        seed.put(store, task)
        account = ledgers.Account(id="rich", limit=10**14, window="total")
        store.commit([Put(account.path, account.fields())])

    with alone.serving(tmp_path, rich) as console:
        account = console.app.test_client().get("/console/api/account/rich")
    assert account.status_code == 200
    assert account.json["burn"]["centsPerHour"] > 0
    assert "runsOutAt" not in account.json["burn"]


def test_a_text_is_looked_for_in_the_body_not_in_the_address(console: alone.Console) -> None:
    client = console.app.test_client()
    found = client.post("/console/api/tasks", json={"text": "owned"}).json
    assert [task["taskId"] for task in found["tasks"]] == [seed.id_(900_002)]
    assert found["scanned"] == 5
    assert client.get("/console/api/tasks?text=owned").status_code == 405
    assert client.post("/console/api/tasks", json={"text": 7}).status_code == 422
    assert client.post("/console/api/tasks", json={"bogus": 7}).status_code == 422
    assert client.get("/console/api/pulse?wait=999").status_code == 422
