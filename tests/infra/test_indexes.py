"""Every query of the code has its index: the emulators never ask for one, the cloud does."""

from __future__ import annotations

import ast
import itertools
import sys
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import functions_framework
import pytest
from functions_framework import create_app

from shared import budgets, config, ledgers, runtime, sweeper
from shared.storage import store as stores
from shared.storage.sqlite.store import EmbeddedStore
from shared.storage.store import Document, Query, Total
from shared.tasks import listing
from tests.bench import limits
from tests.infra.conftest import ROOT, VARIABLES, Terraform

Shape = tuple[Query, str | None]  # a query, and the field that is summed over it


def served(query: Query, summed: str | None, indexes: dict[str, Any]) -> bool:
    """Whether Firestore can answer it: by a single-field index, a composite one, or a merge."""
    equal = {name for name, operator, _ in query.where if operator in ("==", "in")}
    ranges = {name for name, operator, _ in query.where if operator not in ("==", "in")}
    order = [query.order] if query.order else [summed] if summed else sorted(ranges)
    assert ranges <= {field.lstrip("-") for field in order}, "a range orders by its own field"
    fields = equal | {field.lstrip("-") for field in order}
    if len(fields) <= 1:
        exempt = query.collection in indexes["exempt"]
        return not exempt or fields <= set(indexes["single"].get(query.collection, []))
    parts = [
        set(index["fields"][: -len(order)])
        for index in indexes["composite"].values()
        if index["collection"] == query.collection and index["fields"][-len(order) :] == order
    ]
    return equal == set().union(*(part for part in parts if part <= equal))


class Recorder:
    """What was asked of the store, and from which lines of the code."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[Shape] = []
        self.modules: set[str] = set()
        query, total = EmbeddedStore.query, EmbeddedStore.total

        def recorded(store: EmbeddedStore, asked: Query) -> list[Document]:
            self._record(asked, None)
            return query(store, asked)

        def summed(store: EmbeddedStore, asked: Query, sum_field: str) -> Total:
            self._record(asked, sum_field)
            return total(store, asked, sum_field)

        monkeypatch.setattr(EmbeddedStore, "query", recorded)
        monkeypatch.setattr(EmbeddedStore, "total", summed)

    def _record(self, asked: Query, summed: str | None) -> None:
        self.asked.append((asked, summed))
        caller: FrameType | None = sys._getframe(2)
        while caller and (code := caller.f_code).co_filename == stores.__file__:
            caller = caller.f_back  # who has it turn page after page
        self.modules.add(f"{Path(code.co_filename).name}:{code.co_name}")


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Records from here on."""
    return Recorder(monkeypatch)


def everything(world: runtime.Services) -> None:
    """Makes every query there is: each page of tasks, a sweep with a purse to settle."""
    budgets.put_account(world, ledgers.Account(id="team", limit=100, window="total"))
    budgets.open_purse(world, "team", 10, 10)
    sweeper.sweep(world)
    filters = {"agent": "light", "status": "queued", "account": "team", "owner": "a@example.com"}
    for chosen in itertools.product([False, True], repeat=len(filters)):
        listing.page(world, {"limit": 10, **dict(itertools.compress(filters.items(), chosen))})
    source = ROOT / "functions/console/main.py"
    with runtime.using(world):
        app = functions_framework.create_app("console", str(source))  # type: ignore[no-untyped-call]
        console = app.test_client()
        for page in ("pulse", "accounts", "account/team", "health"):
            assert console.get(f"/console/api/{page}").status_code == 200


def shown(world: runtime.Services) -> None:
    """Makes every query of the console."""
    with runtime.using(world):
        client = create_app("console", str(ROOT / "functions/console/main.py")).test_client()
        client.post("/console/api/tasks", json={"text": "a", "agent": "light", "status": "queued"})
        for path in ("pulse", "accounts", "account/team", "health"):
            assert client.get(f"/console/api/{path}").status_code == 200


def queries_in_the_code() -> set[str]:
    """Where `shared` and the functions build a query: file and function."""
    found = set()
    for file in [*(ROOT / "shared").rglob("*.py"), *(ROOT / "functions").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                calls = [each.func for each in ast.walk(node) if isinstance(each, ast.Call)]
                names = {getattr(call, "id", getattr(call, "attr", "")) for call in calls}
                if "Query" in names:
                    found.add(f"{file.name}:{node.name}")
    return found


@pytest.mark.parametrize(
    ("sharding", "sharded"),
    [("off", False), ("both", False), ("both", True), ("on", True)],
    ids=["off", "before the functions are deployed anew", "after", "on"],
)
def test_every_query_has_its_index(
    recorder: Recorder, terraform: Terraform, tmp_path: Path, sharding: str, sharded: bool
) -> None:
    plan = terraform.plan({**VARIABLES, "sharding": sharding})
    indexes = plan["planned_values"]["outputs"]["indexes"]["value"]
    settings = config.load({"EMBEDDED_PATH": str(tmp_path / "db")})
    world = runtime.Services(replace(settings, sharded=sharded, purse_seconds=0))
    everything(world)
    shown(world)
    assert recorder.modules == queries_in_the_code(), "a query that this test does not make"
    assert [asked for asked in recorder.asked if not served(*asked, indexes)] == []


def test_the_functions_ask_by_shard_as_soon_as_both_sets_of_indexes_stand(
    terraform: Terraform,
) -> None:
    for sharding in ("off", "both", "on"):
        plan = terraform.plan({**VARIABLES, "sharding": sharding})
        functions = plan["planned_values"]["outputs"]["functions"]["value"]
        for target in ("console", "get_task", "sweep"):
            read = config.load(functions[target]["environment"])
            assert read.sharded == (sharding != "off")


def test_the_simulation_counts_every_index_by_time(terraform: Terraform) -> None:
    plan = terraform.plan({**VARIABLES, "sharding": "on"})
    indexes = plan["planned_values"]["outputs"]["indexes"]["value"]["composite"].values()
    fields = [index["fields"][1:] for index in indexes if index["fields"][0] == "shard"]
    named = {", ".join(field.lstrip("-") for field in each) for each in fields}
    assert named == set(limits.TOUCHED)


INDEXES = {
    "composite": {
        "one": {"collection": "tasks", "fields": ["agent", "-createdAt"]},
        "two": {"collection": "tasks", "fields": ["status", "-createdAt"]},
        "due": {"collection": "tasks", "fields": ["shard", "wakeAt"]},
        "sum": {"collection": "tasks", "fields": ["purse", "open", "held"]},
    },
    "single": {"tasks": ["wakeAt"]},
    "exempt": ["tasks"],
}


@pytest.mark.parametrize(
    ("where", "order", "summed", "expected"),
    [
        (["agent"], "-createdAt", None, True),
        (["agent"], "createdAt", None, False),  # the other direction
        (["agent", "status"], "-createdAt", None, True),  # merged
        (["agent", "account"], "-createdAt", None, False),
        (["shard"], "wakeAt", None, True),
        (["shard", "agent"], "-createdAt", None, False),  # none of its indexes begins so
        (["agent"], None, None, False),  # its single-field index is exempt
        ([], "wakeAt", None, True),
        ([], "createdAt", None, False),
        (["purse", "open"], None, "held", True),
        (["purse"], None, "held", False),
    ],
)
def test_a_missing_index_is_seen(
    where: list[str], order: str | None, summed: str | None, expected: bool
) -> None:
    filters = [(name, "==", "x") for name in where]
    query = Query(collection="tasks", where=filters, order=order)  # type: ignore[arg-type]
    assert served(query, summed, INDEXES) is expected
