"""On every store the lists and the sweep find the same tasks, by shard or not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from shared import config, sweeper
from shared.runtime import Services
from shared.storage.store import Put
from shared.tasks import listing, record
from shared.tasks.record import Task
from tests.contract.conftest import Environment

FILTERS = {"agent": "light", "status": "queued", "account": "team", "owner": "a@example.com"}


@pytest.fixture(params=["embedded", pytest.param("on_google", marks=pytest.mark.google)])
def worlds(request: pytest.FixtureRequest) -> tuple[Services, Services]:
    """One store, with forty tasks that are due, asked without shards and with them."""
    environment: Environment = request.getfixturevalue(request.param)
    plain, sharded = (
        Services(config.load({**environment, "SHARDED": switch})) for switch in ("false", "true")
    )
    for n in range(40):
        task = Task(
            id=record.keyed_id("", str(n)),
            agent="light" if n % 2 else "other",
            owner="a@example.com" if n % 3 else "b@example.com",
            account="team" if n % 5 else None,
            deadline=1,
            created_at=1_000 + n // 2,  # two of each microsecond
            wake_at=2_000 - n // 3,
        )
        plain.store.commit([Put(task.path, task.fields())])
    return plain, sharded


def listed(services: Services, asked: dict[str, str]) -> Iterator[str]:
    """The ids of every page, in order."""
    query: dict[str, Any] = {**asked, "limit": 7}
    while True:
        page = listing.page(services, query)
        yield from (task["taskId"] for task in page["tasks"])
        if "nextPageToken" not in page:
            return
        query["pageToken"] = page["nextPageToken"]


def test_lists_are_the_same_under_every_filter(worlds: tuple[Services, Services]) -> None:
    for chosen in itertools.product([False, True], repeat=len(FILTERS)):
        asked = dict(itertools.compress(FILTERS.items(), chosen))
        plain, sharded = (list(listed(services, asked)) for services in worlds)
        assert plain == sharded
        assert len(plain) >= 10


def test_a_sweep_moves_the_same(
    worlds: tuple[Services, Services], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "PAGE", 7)
    plain, sharded = worlds
    assert sweeper.sweep(sharded) == 40
    assert sweeper.sweep(plain) == 0
    assert set(listed(sharded, {"status": "expired"})) == set(listed(plain, {}))
