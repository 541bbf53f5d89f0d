"""A local cloud, a browser in front of it, and pages that must not complain."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from emulators import extras
from emulators.cluster import Cluster
from emulators.layout import ROOT

NEEDED = os.environ.get("REQUIRE_CHROMIUM") == "1"
NAMES = ("chromium", "chromium-browser", "google-chrome")
AXE = "axe-core@4.14.1"
FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",  # as root there is none
]
PATIENCE = 30_000  # milliseconds a page may take for anything, on a machine with much to do


def missing(what: str, mend: str) -> None:
    """Skips the test, or fails it where the browser is required."""
    if NEEDED:
        pytest.fail(f"REQUIRE_CHROMIUM=1, but {what} is missing: {mend}")
    pytest.skip(f"THE CONSOLE IS NOT CHECKED: {what} is missing: {mend}")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        missing("Chromium", "apt-get install chromium")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def axe() -> str:
    """The source of axe-core, from npm."""
    cache = ROOT / ".zantara" / "npm"
    source = cache / "node_modules" / "axe-core" / "axe.min.js"
    if not source.exists():
        if not shutil.which("npm"):
            missing("npm", "apt-get install npm")
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(cache), AXE]
        subprocess.run(install, check=True, capture_output=True, timeout=300)
    return source.read_text()


@pytest.fixture(scope="package")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Everything that `emulators/up` starts."""
    data = tmp_path_factory.mktemp("cloud")
    with Cluster(data, functions=extras.functions(data)) as cluster:
        yield cluster


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that must raise no error, and load nothing that its policy forbids."""
    context = browser.new_context(color_scheme="light", viewport={"width": 1280, "height": 860})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(PATIENCE)
    page, complaints = context.new_page(), list[str]()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: _heard(message, complaints))
    yield page
    context.close()
    assert complaints == []


def _heard(message: ConsoleMessage, complaints: list[str]) -> None:
    refused = message.text.startswith("Failed to load resource")  # the page says so itself
    if message.type in ("error", "warning") and not refused:
        complaints.append(message.text)


@pytest.fixture(scope="package")
def pictures() -> Path:
    """Where the screenshots go, for a person to look at."""
    folder = ROOT / ".zantara" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
