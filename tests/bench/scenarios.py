"""What a task may go through on its way, each with a stage that counts its operations."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.bench.stage import Stage

QUIET = 0.3  # seconds without an operation: a listener is all set
ROOMY = 10**7  # cents: a limit that nobody meets

Scenario = Callable[[Stage], None]


def plain(stage: Stage, **order: Any) -> None:
    """A task from dispatch to its end."""
    stage.dispatch(**order)
    stage.deliver()


def callback(stage: Stage) -> None:
    """A task whose end is told to a webhook."""
    plain(stage, callbackUrl=stage.receiver_url)


def http_mode(stage: Stage) -> None:
    """A task that is answered in the dispatch's own response."""
    plain(stage, mode="http")


def replay(stage: Stage) -> None:
    """A dispatch that is sent a second time: that one alone."""
    plain(stage, idempotencyKey="again")
    stage.tally.take()
    plain(stage, idempotencyKey="again")


def retry(stage: Stage) -> None:
    """A task whose agent fails once."""
    with tempfile.TemporaryDirectory() as folder:
        payload = {"mark": str(Path(folder) / "mark"), "failures": 1}
        plain(stage, agent="probe", payload=payload)


def family(stage: Stage, children: int) -> None:
    """A task that waits for its children, all at once."""
    plain(stage, agent="crew", payload={"topics": ["a"] * children}, budgetCents=100)


def awaited(stage: Stage) -> None:
    """A task whose client waits for its end in one long request."""
    task_id = stage.dispatch()
    asking = threading.Thread(
        target=stage.request, args=("GET", "get_task", f"/task/{task_id}?wait=30")
    )
    asking.start()
    while not stage.tally.seen("listens") or _busy(stage):
        pass
    stage.deliver()
    asking.join()


def sweep(stage: Stage) -> None:
    """A sweep that finds nothing to do."""
    stage.tick()


def account(stage: Stage, tasks: int) -> None:
    """Tasks on one account, after each other, through one dispatch process."""
    budget = {"limitCents": ROOMY, "window": "total"}
    stage.request("PUT", "accounts", "/account/busy", budget)
    stage.tally.take()
    for _ in range(tasks):
        plain(stage, account="busy")


def counts(stage: Stage, scenario: Scenario) -> Counter[str]:
    """The operations that a scenario takes."""
    stage.tally.take()
    scenario(stage)
    return stage.tally.take()


def child(stage: Stage) -> Counter[str]:
    """The operations that one more child takes."""
    return less(
        counts(stage, lambda _: family(stage, 3)), counts(stage, lambda _: family(stage, 2))
    )


def less(more: Mapping[str, int], fewer: Mapping[str, int]) -> Counter[str]:
    """What there is more of in one than in the other."""
    return Counter(more) - Counter(fewer)


def _busy(stage: Stage) -> bool:
    """Whether reads are still made."""
    before = stage.tally.seen("reads")
    time.sleep(QUIET)
    return stage.tally.seen("reads") != before


EACH: Mapping[str, Scenario] = {
    "plain task": plain,
    "callback": callback,
    "http mode": http_mode,
    "replay": replay,
    "retry": retry,
    "task with one child": lambda stage: family(stage, 1),
    "sweep of nothing": sweep,
}
