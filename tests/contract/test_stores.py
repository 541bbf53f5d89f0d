"""Every store keeps the one contract, and says so when it cannot."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared import errors
from shared.storage import shards
from shared.storage.store import Put, Query, Store
from tests.contract import commits, queries, races
from tests.contract.conftest import Environment, store_of

things = queries.things


@pytest.fixture(params=["embedded", pytest.param("on_google", marks=pytest.mark.google)])
def environment(request: pytest.FixtureRequest) -> Environment:
    """The environment of one backend."""
    found: Environment = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def store(environment: Environment) -> Store:
    """An empty store."""
    return store_of(environment)


class TestCommits(commits.Commits):
    pass


class TestQueries(queries.Queries):
    pass


class TestTotals(queries.Totals):
    pass


class TestRaces(races.Races):
    pass


class TestWaits(races.Waits):
    pass


class TestProcesses(races.Processes):
    pass


CALLS: dict[str, Callable[[Store], Any]] = {
    "get": lambda store: store.get("things/a"),
    "commit": lambda store: store.commit([Put("things/a", {})]),
    "query": lambda store: store.query(Query(collection="things")),
    "total": lambda store: store.total(Query(collection="things"), "n"),
    "wait": lambda store: store.wait("things/a", lambda seen: True, 1),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_firestore_that_is_away_is_unavailable(
    call: Callable[[Store], Any], closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shared.storage.google import channel

    monkeypatch.setattr(channel, "CALL", 0.2)
    host = f"127.0.0.1:{closed_port}"
    with pytest.raises(errors.Unavailable):
        call(store_of({"FIRESTORE_EMULATOR_HOST": host, "PUBSUB_EMULATOR_HOST": host}))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("obstacle", ["a folder", "not a database"])
def test_a_database_that_cannot_be_used_is_unavailable(
    call: Callable[[Store], Any], obstacle: str, tmp_path: Path
) -> None:
    path = tmp_path / "zantara.db"
    if obstacle == "a folder":
        path.mkdir()
    else:
        path.write_bytes(b"no database " * 1000)
    with pytest.raises(errors.Unavailable):
        call(store_of({"BACKEND": "embedded", "EMBEDDED_PATH": str(path)}))


@pytest.mark.parametrize(("order", "index"), [("wakeAt", "by_wake"), ("-createdAt", "by_created")])
def test_thirty_shards_are_found_in_order_without_a_sort(
    order: str, index: str, tmp_path: Path
) -> None:
    from shared.storage.sqlite import store as stores

    store = stores.EmbeddedStore(str(tmp_path / "zantara.db"))
    query = Query(collection="tasks", where=shards.every(True), order=order)
    sql, values = stores._select(query)
    rows = store._database.connection().execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
    [step] = [row[-1] for row in rows]
    assert f"USING INDEX {index} " in step


@pytest.mark.parametrize("clock", [lambda n: 1_000, lambda n: 1_000 - n], ids=["still", "back"])
def test_versions_grow_though_the_clock_stands_still_or_runs_back(
    clock: Callable[[int], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shared.storage.sqlite import database

    ticks = itertools.count()
    monkeypatch.setattr(database, "now", lambda: clock(next(ticks)))
    store = store_of({"BACKEND": "embedded", "EMBEDDED_PATH": str(tmp_path / "zantara.db")})
    versions = [store.commit([Put("things/a", {"n": 0})])]
    for n in range(10):
        versions.append(store.commit([Put("things/a", {"n": n}, versions[-1])]))
    assert versions == sorted(set(versions))
    assert store.get("things/a").version == versions[-1]
