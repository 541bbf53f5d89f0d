"""Every page, light and dark, wide and phone-wide: accessible, and within its width."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from shared.storage.store import Put, Store
from tests.console import alone, seed

SIZES = {"wide": {"width": 1280, "height": 860}, "phone": {"width": 390, "height": 844}}
TASK = f"/console/task/{seed.id_(900_001)}"
PAGES = {  # with what must stand there before one may look
    "tasks": ("/", "#rows tr"),
    "task": (TASK, ".water li"),
    "nasty": (f"/console/task/{seed.id_(900_002)}", ".fault"),
    "running": (f"/console/task/{seed.id_(900_003)}", ".span.open"),
    "missing": (f"/console/task/{'0' * 32}", ".error"),
    "accounts": ("/console/accounts", ".card"),
    "account": ("/console/account/research", ".chart"),
    "health": ("/console/health", "#letters tr"),
    "dispatch": ("/console/dispatch", "#curl pre"),
    "break": ("/console/break", ".card"),
}
AUDIT = """async () => (await axe.run()).violations.map(
    ({id, impact, nodes}) => ({id, impact, at: nodes.map(node => node.html)}))"""


def fill(store: Store, now: int) -> None:
    seed.many(store, now - 30 * 1_000_000, 300)
    for make in (seed.retried, seed.nasty, seed.running, seed.accounts):
        make(store, now)
    letter = {"recordedAt": now, "code": "malformed", "detail": "message.data: must be base64"}
    store.commit([Put("dead_letters/one", letter)])


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[alone.Console]:
    with alone.serving(tmp_path_factory.mktemp("looks"), fill) as console:
        yield console


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_and_fits(
    browser: Browser,
    console: alone.Console,
    axe: str,
    pictures: Path,
    name: str,
    size: str,
    scheme: Any,
) -> None:
    context = browser.new_context(
        color_scheme=scheme,
        viewport=SIZES[size],  # type: ignore[arg-type]
        reduced_motion="reduce",
    )
    page, (path, there) = context.new_page(), PAGES[name]
    page.goto(console.url + path)
    expect(page.locator(there).first).to_be_visible()
    page.screenshot(path=pictures / f"{name}-{size}-{scheme}.png", full_page=name != "tasks")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.evaluate(axe)
    serious = [each for each in page.evaluate(AUDIT) if each["impact"] in ("serious", "critical")]
    context.close()
    assert serious == []


def test_an_empty_store_says_what_to_do(page: Page, tmp_path: Path) -> None:
    with alone.serving(tmp_path, lambda store, now: None) as console:
        page.goto(console.url)
        expect(page.get_by_text("No tasks yet")).to_be_visible()
        page.goto(f"{console.url}/console/accounts")
        expect(page.get_by_text("No accounts yet")).to_be_visible()
        expect(page.get_by_label("Name")).to_be_visible()


def test_a_lost_connection_is_said_and_mended(page: Page, console: alone.Console) -> None:
    page.goto(console.url)
    expect(page.locator("#live")).to_have_text("live")
    page.context.set_offline(True)
    expect(page.locator("#live")).to_have_text("no connection")
    page.context.set_offline(False)
    expect(page.locator("#live")).to_have_text("live")
