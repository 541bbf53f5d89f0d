"""Every task has a shard, made from its id alone, whoever makes it and whatever is set."""

from __future__ import annotations

from collections import Counter

import pytest

from shared import redrives
from shared.storage import shards
from shared.storage.store import Query
from shared.tasks import commits, record
from shared.tasks.record import Outcome
from tests.unit.conftest import COST, LEASE, World


@pytest.mark.parametrize("sharded", [False, True])
def test_a_task_has_it_whether_queries_use_it_or_not(world: World, sharded: bool) -> None:
    world.set(sharded=sharded)
    old = world.ended("failed", idempotencyKey="a")
    new, _ = redrives.redrive(world.services, old.id, {})
    documents = world.store.query(Query(collection=record.COLLECTION))
    found = {document.id: document.data["shard"] for document in documents}
    assert found == {each.id: shards.of(each.id) for each in (old, new)}


def test_it_stays_the_same_from_the_first_commit_to_the_last(world: World) -> None:
    task = world.queued()
    seen = [world.store.get(task.path).data["shard"]]
    task = commits.claim(world.services, world.told(task), COST, LEASE)
    seen.append(world.store.get(task.path).data["shard"])
    commits.finish(world.services, task, Outcome(status="succeeded", result="1"))
    seen.append(world.store.get(task.path).data["shard"])
    assert seen == [shards.of(task.id)] * 3


def test_ids_spread_over_all_shards() -> None:
    counted = Counter(shards.of(record.keyed_id("", str(n))) for n in range(30_000))
    assert sorted(counted) == list(range(30))
    assert 850 < min(counted.values()) <= max(counted.values()) < 1150


def test_a_query_names_every_shard_or_none() -> None:
    assert shards.every(True) == [("shard", "in", list(range(30)))]
    assert shards.every(False) == []
