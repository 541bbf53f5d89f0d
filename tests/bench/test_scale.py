"""The simulation: its counts are the code's, its arithmetic the documents'."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from shared.storage import retry
from shared.tasks import commits
from shared.tasks.record import Outcome
from tests.bench import ledger, limits, scale
from tests.bench.demand import Demand
from tests.unit.conftest import COST, LEASE, World


def demand(rate: float, agent_seconds: float = 0.5) -> Demand:
    return Demand(rate=rate, agent_seconds=agent_seconds)


def test_a_task_touches_each_index_as_often_as_is_counted(tmp_path: Path) -> None:
    world = World(tmp_path)
    task = world.queued(account="team")
    states = [{}, world.store.get(task.path).data]
    task = commits.claim(world.services, world.told(task), COST, LEASE)
    states.append(world.store.get(task.path).data)
    task = commits.finish(world.services, task, Outcome(status="succeeded", result="1"))
    states.append(world.store.get(task.path).data)
    assert len(states) - 1 == world.store.calls["commit"] == limits.WRITES
    for index, touched in limits.TOUCHED.items():
        entries = [[state.get(field) for field in index.split(", ")] for state in states]
        changed = sum(before != after for before, after in pairwise(entries))
        assert changed == touched, index


@pytest.mark.parametrize(
    ("rate", "shards", "projects"),
    [(10, 1, 1), (166, 1, 1), (167, 2, 1), (5_000, 30, 1), (5_001, 31, 2), (100_000, 600, 20)],
)
def test_shards_carry_five_hundred_writes_each_and_a_project_thirty(
    rate: float, shards: int, projects: int
) -> None:
    assert (demand(rate).shards, demand(rate).projects) == (shards, projects)
    assert demand(rate).each.shards <= limits.SHARDS


@pytest.mark.parametrize(("writes", "minutes"), [(500, 0), (501, 5), (750, 5), (15_000, 45)])
def test_traffic_grows_by_half_every_five_minutes(writes: float, minutes: float) -> None:
    assert demand(writes / limits.WRITES).ramp_minutes == minutes


def test_a_million_tasks_cost_what_the_readme_says() -> None:
    assert demand(1_000_000 / 86_400).dollars == pytest.approx(4.15, abs=0.005)


def test_instances_follow_from_the_agent_s_seconds_and_threads() -> None:
    slow = demand(100, 10)
    assert slow.under_way == pytest.approx(1002)
    assert slow.instances("agent") == 126
    assert "agent: max_instances = 126" in slow.settings()
    assert slow.instances("results") == 1


def test_a_slow_agent_s_subscription_has_a_window_and_a_quick_one_s_has_none() -> None:
    assert demand(1_000, 10).subscriptions == 4
    assert any("4 names" in bound for bound in demand(1_000, 10).bounds())
    assert demand(4_000, 0.9).subscriptions == 1


@pytest.mark.parametrize("processes", [1, 10, 50])
def test_a_ledger_s_commits_follow_the_purses_and_not_the_tasks(processes: int) -> None:
    renewals = processes / (0.8 * 60) + 1 / ledger.SWEEP
    for rate in (100, 1_000, 10_000):
        found = ledger.simulate(processes, rate, 60)
        assert found.commits == pytest.approx(renewals, rel=0.35)
        assert found.most_tries < retry.TRIES
        assert found.conflicts < 0.5


def test_longer_purses_keep_a_ledger_below_one_commit_a_second() -> None:
    assert ledger.simulate(100, 1_000, 60).commits > limits.DOCUMENT
    seconds = ledger.purse_seconds(100, 1_000)
    assert 60 < seconds <= 300
    assert ledger.simulate(100, 1_000, seconds).commits <= limits.DOCUMENT
    many = Demand(rate=1_000, agent_seconds=0.5, dispatchers=100)
    assert f"PURSE_SECONDS={seconds}" in many.settings()


@pytest.mark.slow
def test_the_command_prints_each_rate_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chart = tmp_path / "charts" / "scale.png"
    monkeypatch.setattr(
        sys, "argv", ["scale", "--json", "--rate", "10", "--rate", "200", "--chart", str(chart)]
    )
    assert scale.main() == 0
    found: Any = json.loads(capsys.readouterr().out)
    assert [each["rate"] for each in found] == [10, 200]
    assert [each["settings"] for each in found] == [[], ['sharding = "on"']]
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_the_table_has_a_column_for_each_rate() -> None:
    table = scale.text([demand(rate) for rate in scale.RATES]).split("\n\n")[0].splitlines()
    assert {line.count("|") for line in table} == {len(scale.RATES) + 2}
