"""What every suite shares: Google's emulators, and a loud word where they are missing."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from emulators import Refused
from emulators.layout import Layout
from tests import emulation

# A busy machine is no failure: the examples are small, and the run has its own patience.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")

MISSING = "NOT CHECKED on Google's emulators"


@pytest.fixture(scope="session")
def emulators(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Layout]:
    """Google's Firestore and Pub/Sub emulators; without them the test is skipped, or fails."""
    with ExitStack() as stack:
        try:
            layout = stack.enter_context(emulation.running(tmp_path_factory.mktemp("emulators")))
        except Refused as missing:
            reason = str(missing).splitlines()[0]
            if os.environ.get("REQUIRE_GOOGLE_EMULATORS") == "1":
                pytest.fail(f"REQUIRE_GOOGLE_EMULATORS=1, but: {missing}")
            pytest.skip(f"{MISSING}: {reason}")
        yield layout


def pytest_collection_finish() -> None:
    """What was collected stays: no look for garbage needs to pass over it again."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Nobody shall mistake a skipped half for a passed one."""
    skipped = terminalreporter.stats.get("skipped", ())
    for reason in sorted({each.longrepr[2].removeprefix("Skipped: ") for each in skipped}):
        if reason.startswith(MISSING):
            terminalreporter.write_line(reason, red=True, bold=True)


# What needs a browser, Terraform, or many starts of the whole cloud: `tests/run --all`, and CI.
LONG = ("infra/", "console/", "emulators/", "agents/test_processes.py")
SHARING = ("tests/infra/", "tests/flow/")  # suites whose files share what takes long to make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the long suites as slow; what takes long begins, so that nothing ends alone."""
    here = Path(__file__).parent
    for item in items:
        path = item.path.relative_to(here).as_posix()
        if path.startswith(LONG):
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (not item.nodeid.startswith(SHARING), item.path not in slow))


class ByCloud(LoadScopeScheduling):
    """What shares running processes stays together: a file, or a suite."""

    def _split_scope(self, nodeid: str) -> str:
        suites = (each for each in SHARING if nodeid.startswith(each))
        return next(suites, nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByCloud:
    """How tests are dealt out to processes that run side by side."""
    return ByCloud(config, log)
