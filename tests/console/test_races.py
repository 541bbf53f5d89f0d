"""What overtakes something else, or fails on its way, leaves the pages right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from emulators.cluster import Cluster
from shared.storage.store import Put, Store
from shared.tasks import record
from tests.console import alone, orders, seed

LIST, PULSE = "**/console/api/tasks", "**/console/api/pulse*"


def fill(store: Store, now: int) -> None:
    seed.many(store, now, 300)
    for make in (seed.retried, seed.running, seed.accounts):
        make(store, now)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[alone.Console]:
    with alone.serving(tmp_path_factory.mktemp("races"), fill) as console:
        yield console


def refuse(route: Route) -> None:
    """Answers as a function does whose store is away."""
    route.fulfill(status=503, json={"title": "The store does not answer", "detail": "away"})


def test_an_answer_to_older_filters_does_not_replace_a_newer_one(
    page: Page, console: alone.Console
) -> None:
    page.goto(console.url)
    expect(page.locator("#rows tr")).to_have_count(50)
    held: list[Route] = []

    def hold(route: Route) -> None:
        older = "pageToken" in json.loads(route.request.post_data or "")
        held.append(route) if older else route.continue_()

    page.route(LIST, hold)
    page.get_by_role("button", name="Older").click()
    page.get_by_label("State").select_option("failed")
    expect(page.locator("#rows .state:not(.failed)")).to_have_count(0)
    with page.expect_response(LIST) as late:
        held[0].continue_()
    late.value.finished()
    page.wait_for_timeout(300)
    expect(page.locator("#rows .state:not(.failed)")).to_have_count(0)
    expect(page.get_by_role("button", name="Newest")).to_be_hidden()


@pytest.mark.parametrize(
    ("path", "api", "there"),
    [
        ("/", LIST, "#rows tr"),
        ("/console/accounts", "**/console/api/accounts", ".card"),
        ("/console/account/research", "**/console/api/account/*", ".chart"),
        ("/console/health", "**/console/api/health*", "#hops tr"),
        (f"/console/task/{seed.id_(900_003)}", "**/task/*", ".water li"),
    ],
)
def test_a_page_whose_server_fails_for_a_while_says_so_and_mends_itself(
    page: Page, console: alone.Console, path: str, api: str, there: str
) -> None:
    page.route(api, lambda route: refuse(route) if "/console/task/" not in route.request.url
               else route.continue_())  # fmt: skip
    page.goto(console.url + path)
    expect(page.locator("#state").get_by_role("alert")).to_contain_text("does not answer")
    page.unroute(api)
    expect(page.locator(there).first).to_be_visible()
    expect(page.locator("#state").get_by_role("alert")).to_have_count(0)


def test_a_task_that_rests_shows_no_error_once_the_connection_is_back(
    page: Page, console: alone.Console
) -> None:
    page.goto(f"{console.url}/console/task/{seed.id_(900_003)}")
    expect(page.locator(".water li").first).to_be_visible()
    page.context.set_offline(True)
    expect(page.locator("#state")).to_contain_text("No answer")
    page.context.set_offline(False)
    expect(page.locator("#state")).to_be_empty()


def test_what_does_not_change_keeps_its_focus_and_selection(
    page: Page, console: alone.Console
) -> None:
    page.goto(f"{console.url}/console/task/{seed.id_(900_003)}")
    copy = page.locator("#payload button")
    copy.focus()
    task = record.from_document(console.store.get(f"tasks/{seed.id_(900_003)}"))
    assert task
    moved = replace(task, progress={"fraction": 0.5, "text": "half", "at": task.created_at})
    console.store.commit([Put(task.path, moved.fields(), task.version)])
    expect(page.locator("#facts")).to_contain_text("50 % half")
    expect(copy).to_be_focused()


def test_another_task_can_be_dispatched_while_the_first_one_runs(
    page: Page, cloud: Cluster
) -> None:
    page.goto(f"{cloud.gateway_url}/console/dispatch")
    page.get_by_label("Agent").select_option("demo")
    page.get_by_label("Payload").fill('{"seconds": 30}')
    page.get_by_role("button", name="Dispatch").click()
    expect(page.locator("#outcome .state")).to_have_text("running")
    first = page.locator("#outcome").get_by_role("link").get_attribute("href") or ""

    page.get_by_label("Payload").fill('{"seconds": 0}')
    page.get_by_role("button", name="Dispatch").click()

    expect(page.locator("#outcome .state")).to_have_text("succeeded")
    page.wait_for_timeout(1500)  # the first one is not looked at any more
    assert page.locator("#outcome .state").inner_text() == "succeeded"
    orders.call("POST", f"{cloud.gateway_url}/task/{first[-32:]}/cancel")


def test_a_key_that_is_held_down_dispatches_once(page: Page, console: alone.Console) -> None:
    page.goto(f"{console.url}/console/dispatch")
    sent: list[Route] = []
    page.route("**/dispatch", lambda route: sent.append(route) if route.request.method == "POST"
               else route.continue_())  # fmt: skip
    page.get_by_label("Payload").focus()
    for _ in range(3):
        page.keyboard.press("Control+Enter")
    page.wait_for_timeout(300)
    assert len(sent) == 1
    sent[0].continue_()
    expect(page.locator("#outcome")).to_contain_text("queued")


def test_an_account_that_is_there_is_not_opened_again(page: Page, console: alone.Console) -> None:
    page.goto(f"{console.url}/console/accounts")
    page.get_by_label("Name").fill("research")
    page.get_by_role("button", name="Open").click()
    expect(page.locator("#notices")).to_contain_text("There is an account of this name")
    account = console.app.test_client().get("/console/api/account/research").json
    assert (account["limitCents"], account["window"]) == (2000, "day")


@pytest.mark.parametrize(
    ("path", "api"),
    [("/console/health", "health"), ("/console/account/research", "account/research")],
)
def test_a_page_at_rest_asks_only_for_what_changes_without_a_task(
    page: Page, console: alone.Console, path: str, api: str
) -> None:
    page.clock.install()
    page.route(PULSE, lambda route: route.fulfill(json={"pulse": "same"}))
    page.goto(console.url + path)
    expect(page.locator("#live")).to_have_text("live")
    with page.expect_response(lambda answer: answer.url.endswith(f"/{api}?brief=true")) as brief:
        page.clock.fast_forward(100_000)
    assert brief.value.ok
    expect(page.locator("#state")).to_be_empty()


def test_a_brief_look_reads_few_documents(tmp_path: Path) -> None:
    with alone.serving(tmp_path, fill) as console:
        client = console.app.test_client()
        for path, most in (("health", 24), ("account/research", 9), ("account/demo", 2)):
            before = console.store.reads
            assert client.get(f"/console/api/{path}?brief=true").status_code == 200
            assert console.store.reads - before <= most
