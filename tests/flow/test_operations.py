"""What a task costs on its way, counted: on Google's emulators call by call on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import prices, scenarios, stage
from tests.bench.stage import Stage

OPERATIONS = ("writes", "deletes", "reads", "queries", "publishes", "pushes", "requests")
EXPECTED = {
    "plain task": {"writes": 3, "publishes": 2, "pushes": 2, "requests": 3},
    "callback": {"writes": 4, "reads": 1, "publishes": 3, "pushes": 3, "requests": 4},
    "http mode": {"writes": 3, "reads": 1, "requests": 2},
    "replay": {"writes": 1, "reads": 1, "requests": 1},  # the write is refused
    "retry": {"writes": 6, "reads": 1, "publishes": 2, "pushes": 3, "requests": 4},
    "task with one child": {"writes": 11, "reads": 3, "publishes": 5, "pushes": 5, "requests": 6},
    "sweep of nothing": {"reads": 2, "queries": 2, "publishes": 1, "pushes": 1, "requests": 1},
}


@pytest.fixture(params=["embedded", pytest.param("google", marks=pytest.mark.google)])
def counted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A world whose every call to the database and the bus is counted."""
    if request.param == "embedded":
        with stage.embedded(tmp_path) as made:
            yield made
    else:
        with stage.google(request.getfixturevalue("emulators")) as made:
            yield made


@pytest.mark.parametrize("scenario", scenarios.EACH)
def test_a_scenario_takes_these_operations_and_no_other(counted: Stage, scenario: str) -> None:
    counts = scenarios.counts(counted, scenarios.EACH[scenario])
    assert {name: counts[name] for name in OPERATIONS if counts[name]} == EXPECTED[scenario]


def test_a_plain_task_costs_four_dollars_a_million(counted: Stage) -> None:
    counts = scenarios.counts(counted, scenarios.plain)
    assert prices.dollars(counts) == pytest.approx(4.05, abs=0.01)


def test_one_more_child_takes_two_commits_two_reads_and_two_messages(counted: Stage) -> None:
    counts = scenarios.child(counted)
    assert {name: counts[name] for name in ("commits", *OPERATIONS) if counts[name]} == {
        "commits": 2,
        "writes": 4,
        "reads": 2,
        "publishes": 2,
        "pushes": 2,
        "requests": 2,
    }


def test_a_busy_account_takes_a_write_whenever_its_purse_has_doubled(counted: Stage) -> None:
    counts = scenarios.counts(counted, lambda stage: scenarios.account(stage, 63))
    assert (counts["writes"], counts["reads"]) == (3 * 63 + 6, 2 * 6)  # 1 + 2 + 4 + … + 32 tasks


def test_a_long_wait_is_a_listener_and_no_polling(counted: Stage) -> None:
    counts = scenarios.counts(counted, scenarios.awaited)
    assert (counts["writes"], counts["listens"], counts["queries"]) == (3, 1, 0)
    assert counts["reads"] <= 5  # at first, as the listener begins, running, ended
