"""Agents in processes of their own, killed for real, on each backend."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from shared.tasks import record
from shared.tasks.record import Task
from tests.agents import provider_server as server
from tests.agents.conftest import Scene
from tests.agents.provider_server import usage
from tests.chaos import invariants
from tests.flow.cloud import eventually

CENT = 10_000  # micros


def stored(scene: Scene, task_id: str) -> Task:
    found = record.from_document(scene.store.get(record.path(task_id)))
    assert found
    return found


def closed(scene: Scene, task_id: str) -> Task:
    """The task, once it and all below it have ended."""
    found: Task = eventually(
        lambda: None if stored(scene, task_id).open else stored(scene, task_id)
    )
    return found


def tree(scene: Scene, task: Task) -> list[Task]:
    """The task and all below it; what they say of each other is checked on the way."""
    found = [task]
    for key, child in (task.children or {}).items():
        below = stored(scene, child["taskId"])
        told = (key, child["budget"], child["status"], child["cost"])
        assert told == (below.parent_key, below.budget, below.status, below.charged)
        found += tree(scene, below)
    problems = [*invariants.task(task), *invariants.resting(task)]
    assert not problems
    return found


def test_a_tree_of_three_levels_survives_kills_and_duplicates_and_gives_the_rest_back(
    scene: Scene,
) -> None:
    payload = {"levels": 2, "width": 5, "cents": [4, 40]}
    task_id = dispatched(scene, "tree", payload, budgetCents=250, ttlSeconds=300)
    killed = 0
    while killed < 5 and stored(scene, task_id).open:
        time.sleep(0.4)  # the kernel kills when it likes
        scene.cloud.cluster.kill("results" if killed % 2 else "agent_tree")
        killed += 1
    task = closed(scene, task_id)
    assert task.status == "succeeded", task.error
    everyone = tree(scene, task)
    assert len(everyone) == 31
    # Half a cent a step, and a whole one for each that was lost on its way.
    lost = sum(1 for each in everyone for run in each.runs.values() if "error" in run)
    spent = task.charged - len(everyone) * CENT // 2
    assert 0 <= spent <= lost * CENT
    assert spent % CENT == 0


@pytest.mark.parametrize("die", ["", "before s0", "after s4", "after s9"])
def test_ten_steps_in_a_process_that_is_killed_are_each_kept_once(
    scene: Scene, tmp_path: Path, die: str
) -> None:
    payload = {"folder": str(tmp_path), "die": die}
    task = closed(scene, dispatched(scene, "ten", payload, budgetCents=40))
    assert task.result == str([f"s{number}" for number in range(10)]).replace("'", '"').replace(
        " ", ""
    )
    ran = {f"s{number}": len((tmp_path / f"s{number}").read_text()) for number in range(10)}
    twice = die.removeprefix("after ") if die.startswith("after") else None
    assert ran == {name: 2 if name == twice else 1 for name in ran}
    assert task.charged == (10 * 2 + (3 if die else 0)) * CENT


def test_codex_talks_to_a_provider_and_to_other_agents(scene: Scene) -> None:
    scene.provider.script = [
        server.fails(429, after="0.01"),
        server.calls(("light", {"n": 1}), ("light", {"n": 2}), counted=usage(50, 20)),
        server.says("Three.", usage(80, 2)),
    ]
    asked = len(scene.provider.asked)
    payload = {"prompt": "Add up.", "agents": {"light": {"budgetCents": 6}}}
    task = closed(scene, dispatched(scene, "codex", payload, budgetCents=30))
    assert (task.status, len(scene.provider.asked) - asked) == ("succeeded", 3), task.error
    assert '"text":"Three."' in (task.result or "")
    assert len(tree(scene, task)) == 3
    assert task.charged == 130 * 2 + 22 * 10 + 2 * 5 * CENT


def test_the_crew_joins_what_several_agents_found(scene: Scene) -> None:
    task = closed(scene, dispatched(scene, "crew", {"topics": ["a", "b"]}, budgetCents=20))
    assert (task.status, task.charged) == ("succeeded", 11 * CENT), task.error
    assert len(tree(scene, task)) == 3


def dispatched(scene: Scene, agent: str, payload: Any, **more: Any) -> str:
    answer = scene.cloud.dispatch(agent, payload=payload, **{"ttlSeconds": 120, **more})
    assert answer.status_code == 202, answer.text
    task_id: str = answer.json()["taskId"]
    return task_id
