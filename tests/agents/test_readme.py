"""Every agent in the README runs, and does what the README says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.agents.world import load, world

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"```python\n# functions/agent_(\w+)/main\.py\n(.*?)```", re.DOTALL)
EXAMPLES = dict(BLOCK.findall(README.read_text()))

# By agent: a payload, the result, and the cents that it costs of a budget of 100.
RUNS: dict[str, tuple[Any, Any, float]] = {
    "shout": ({"msg": "hi"}, "HI!", 2),
    "search": (
        {"text": "a budget, budgeted", "word": "budget"},
        {"found": ["budget,", "budgeted"], "leftCents": 99},
        1,
    ),
    "report": ({"facts": ["b", "a"]}, "a b", 3.5),
    "editor": (
        {"topics": ["x", "y"]},
        {
            "parts": [{"echo": {"topic": topic}} for topic in ("x", "y", "the end")],
            "leftCents": 84,
        },
        16,
    ),
    "crawler": ({"pages": ["/", "/a", "/b"]}, ["/", "/a", "/b"], 0.75),
}


def test_every_example_is_run() -> None:
    assert EXAMPLES.keys() == RUNS.keys()


@pytest.mark.parametrize("name", RUNS)
def test_an_example_does_what_it_says(name: str, tmp_path: Path) -> None:
    scope: dict[str, Any] = {}
    exec(EXAMPLES[name], scope)
    payload, result, cents = RUNS[name]
    with world(tmp_path, scope[f"agent_{name}"], load("agent_light").agent_light) as made:
        task = made.settle(made.dispatch(name, payload))
        assert task.status == "succeeded", task.error
        assert json.loads(task.result or "") == result
        assert task.charged == cents * 10_000
