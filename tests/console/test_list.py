"""Ten thousand tasks: the list opens at once, pages steadily, and rests when nothing happens."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from shared.storage.store import Store
from tests.console import alone, seed

MANY = 10_000
QUICK = 0.3  # seconds until the list stands
REST = 5.0  # seconds in which nothing happens
STANDS = """() => performance.getEntriesByName('first-row')[0]?.startTime"""
WATCH = """new MutationObserver((_, observer) => {
    if (!document.querySelector('#rows tr')) return;
    performance.mark('first-row');
    observer.disconnect();
}).observe(document, {childList: true, subtree: true});"""


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[alone.Console]:
    folder = tmp_path_factory.mktemp("many")
    with alone.serving(folder, lambda store, now: seed.many(store, now, MANY)) as console:
        yield console


def test_the_list_of_ten_thousand_tasks_opens_within_300_ms(
    page: Page, console: alone.Console
) -> None:
    page.add_init_script(WATCH)
    took = []
    for _ in range(10):  # other work on this machine only adds to the best
        page.goto(console.url)
        expect(page.locator("#rows tr")).to_have_count(50)
        took.append(page.evaluate(STANDS) / 1000)
        if took[-1] < QUICK:
            break
    if min(took) >= QUICK and os.getloadavg()[0] > 2 * (os.cpu_count() or 1):
        pytest.skip(f"NOT MEASURED: others keep this machine busy; {min(took):.2f} s at best")
    assert min(took) < QUICK, took


def test_its_pages_follow_each_other_without_gap_or_repetition(
    page: Page, console: alone.Console
) -> None:
    page.goto(console.url)
    seen: list[str] = []
    for turned in range(4):
        expect(page.locator("#rows tr")).to_have_count(50)
        expect(page.locator("#rows tr").first.locator("a")).to_have_attribute(
            "title", seed.id_(50 * turned)
        )
        seen += [link.get_attribute("title") or "" for link in page.locator("#rows a").all()]
        page.get_by_role("button", name="Older").click()
    assert seen == [seed.id_(number) for number in range(200)]
    page.get_by_role("button", name="Newest").click()
    expect(page.locator("#rows tr").first.locator("a")).to_have_attribute("title", seed.id_(0))


def test_it_is_filtered_by_state_agent_account_and_text(page: Page, console: alone.Console) -> None:
    page.goto(console.url)
    page.get_by_label("State").select_option("failed")
    expect(page.locator("#rows .state.failed")).to_have_count(50)
    expect(page.locator("#rows .state:not(.failed)")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"\?status=failed$"))
    page.get_by_label("Account").fill("research")
    expect(page.locator("#rows tr", has_not_text="research")).to_have_count(0)
    page.get_by_label("Search").fill("KeyError")
    expect(page.locator("#shown")).to_contain_text("among the newest")
    assert "KeyError" not in page.url
    page.get_by_label("Search").fill(seed.id_(9_999))
    expect(page.locator("#rows tr")).to_have_count(1)
    page.get_by_label("Search").fill("nothing has this")
    expect(page.get_by_text("No task matches")).to_be_visible()
    page.reload()
    expect(page.get_by_label("State")).to_have_value("failed")


@pytest.mark.parametrize("path", ["/", "/console/accounts", "/console/health"])
def test_an_open_page_costs_at_most_two_reads_a_second_when_nothing_happens(
    page: Page, tmp_path: Path, path: str
) -> None:
    def fill(store: Store, now: int) -> None:
        seed.many(store, now, 100)
        for make in (seed.running, seed.accounts):
            make(store, now)

    with alone.serving(tmp_path, fill) as console:
        page.goto(console.url + path)
        expect(page.locator("#live")).to_have_text("live")
        before, began = console.store.reads, time.monotonic()
        page.wait_for_timeout(REST * 1000)
        rate = (console.store.reads - before) / (time.monotonic() - began)
        assert 0 < rate <= 2
        page.close()


def test_the_list_reads_its_tasks_and_no_more(tmp_path: Path) -> None:
    with alone.serving(tmp_path, lambda store, now: seed.many(store, now, 100)) as console:
        client = console.app.test_client()
        client.post("/console/api/tasks", json={})
        assert console.store.reads == 50
        client.get("/console/api/pulse")
        assert console.store.reads == 52
