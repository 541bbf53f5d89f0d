"""The agent crew: a plan, a fan-out and a join within one budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.agents import trees
from tests.agents.world import load, world


def test_the_crew_plans_fans_out_and_joins(tmp_path: Path) -> None:
    crew, light = load("agent_crew").agent_crew, load("agent_light").agent_light
    with world(tmp_path, crew, light) as made:
        topics = {"topics": ["a", "b", "c"]}
        task = made.settle(made.dispatch("crew", topics, cents=20))
        assert json.loads(task.result or "") == {
            "found": [{"echo": {"topic": topic}} for topic in "abc"],
            "missing": 0,
            "leftCents": 4,
        }
        assert task.charged == 16 * 10_000  # the plan, and three times five
        assert not list(trees.problems(task, made.task))


@pytest.mark.parametrize(
    ("payload", "cents", "code"),
    [
        ({}, 20, "agent_failed"),
        ({"topics": ["a"] * 5}, 20, "budget_exceeded"),
        ({"topics": ["a"], "shareCents": 4}, 20, "agent_failed"),  # light costs five
    ],
)
def test_a_crew_that_cannot_work_says_why(
    tmp_path: Path, payload: Any, cents: float, code: str
) -> None:
    crew, light = load("agent_crew").agent_crew, load("agent_light").agent_light
    with world(tmp_path, crew, light) as made:
        task = made.settle(made.dispatch("crew", payload, cents=cents))
        assert (task.status, (task.error or {}).get("code")) == ("failed", code)
        assert task.charged <= 10_000
