"""Shards: what keeps the tasks' index values that only grow apart from each other.

Firestore takes 500 writes a second on an index whose values only grow, as times do. With a task's
shard before the time it is so many for each shard. A task always has its shard, whether indexes
and queries use it or not, so that they may do so from any moment on.
https://cloud.google.com/firestore/docs/solutions/shard-timestamp
"""

from __future__ import annotations

import zlib

from shared.storage.store import Filter

SHARDS = 30  # as many disjunctions as Firestore admits in one query
FIELD = "shard"  # of a task's document: set when it is made, and never changed


def of(task_id: str) -> int:
    """The shard of the task of that id: 0 to 29."""
    return zlib.crc32(task_id.encode()) % SHARDS


def every(sharded: bool) -> list[Filter]:
    """What a query of tasks by time adds, to go through the sharded indexes; else nothing.

    It finds the same tasks in the same order: Firestore merges the shards.
    """
    return [(FIELD, "in", list(range(SHARDS)))] if sharded else []
