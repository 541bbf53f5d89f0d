"""The auditor finds nothing wrong with a store at rest, and each thing that is made wrong there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shared.storage.sqlite.store import EmbeddedStore
from shared.storage.store import Patch
from tests.chaos import auditor, audits
from tests.chaos.scenarios import TEAM, account, dispatch
from tests.chaos.world import World

LEDGER = "ledgers/team@total"
WRONG: dict[str, tuple[str, Mapping[str, Any]]] = {
    "its state is": ("task", {"status": "lost"}),
    "and holds": ("task", {"held": 70_000}),
    "are not the": ("task", {"charged": 60_000, "held": 60_000}),
    "and due at": ("task", {"wakeAt": 1}),
    "its shard is": ("task", {"shard": 30}),
    "attempts, but runs": ("task", {"attempts": 2}),
    "redriven as": ("task", {"redrivenAs": "0" * 32}),
    "but its closed purses' tasks cost": (LEDGER, {"spent": 60_000}),
    "exceed": (LEDGER, {"spent": 2_000_000}),
    "purses are open": (LEDGER, {"purses.p": {"grant": 1, "expiry": 1}, "wakeAt": 1}),
}


def rested() -> tuple[World, str]:
    """A world at rest, and the path of its one task."""
    world = World()
    with world.entered():
        account(world)
        id_ = dispatch(world, TEAM)
        world.drain()
    return world, f"tasks/{id_}"


def test_a_store_at_rest_is_found_in_order() -> None:
    world, _ = rested()
    assert auditor.audit(world.disk, auditor.Terms(at_rest=True), page=1) == []


@pytest.mark.parametrize("said", WRONG)
def test_what_is_made_wrong_is_named(said: str) -> None:
    world, task = rested()
    path, fields = WRONG[said]
    path = task if path == "task" else path
    world.disk.commit([Patch(path, fields, world.disk.get(path).version)])
    found = auditor.audit(world.disk, auditor.Terms(at_rest=True))
    assert any(said in problem for problem in found), found


def test_the_command_tells_by_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BACKEND", "embedded")
    monkeypatch.setenv("EMBEDDED_PATH", str(tmp_path / "none.db"))
    assert audits.main([]) == 2
    EmbeddedStore(str(tmp_path / "none.db")).get("tasks/none")
    assert audits.main(["--at-rest", "--quiet"]) == 0
    assert "EMBEDDED_PATH" in capsys.readouterr().err
