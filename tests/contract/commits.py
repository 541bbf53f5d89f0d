"""The contract of `shared.storage.store`, documents: every store must pass every test below."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from shared import errors
from shared.storage.store import MISSING, Delete, Patch, Put, Query, Store, Write

Fields = Mapping[str, Any]

VALUES: Fields = {
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "the largest int64": 2**63 - 1,
    "the smallest int64": -(2**63),
    "an integer no double holds": 2**53 + 1,
    "a whole float": 1.0,
    "a float": 0.1,
    "a tiny float": 5e-324,
    "empty text": "",
    "text beyond ASCII": "Grüße, 世界 😀 \u2028 \"'\\",
    "a control character": "\x00\x1f",
    "200 kB of text": "é" * 100_000,
    "an empty map": {},
    "maps in maps": {"a": {"b": {"c": 1, "d": None}}},
    "an empty list": [],
    "a time": datetime(2026, 11, 22, 23, 59, 59, 678901, UTC),
    "a time in a map": {"at": datetime(1999, 12, 31, tzinfo=UTC)},
    "a list": [{"a": [1]}, 2, "3", None, True],
}


def create(store: Store, path: str, **data: Any) -> int:
    """A new document; its version."""
    return store.commit([Put(path, data)])


def data(store: Store, path: str) -> Fields:
    """The document's fields."""
    return store.get(path).data


def exact(value: Any) -> str:
    """The value with its types: 1, 1.0 and True differ."""
    return json.dumps(value, sort_keys=True, default=repr)


class Commits:
    """Reading and writing single documents, and several at once."""

    def test_a_document_that_does_not_exist_is_empty_and_has_no_version(self, store: Store) -> None:
        document = store.get("things/none")
        assert (document.path, document.id) == ("things/none", "none")
        assert (document.data, document.version) == ({}, MISSING)
        assert document.read_at > 0

    def test_a_commit_returns_the_version_that_is_read_back(self, store: Store) -> None:
        version = create(store, "things/a", n=1)
        document = store.get("things/a")
        assert (document.data, document.version) == ({"n": 1}, version)
        assert document.path == "things/a"

    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
    def test_values_come_back_as_they_were(self, store: Store, value: Any) -> None:
        version = create(store, "things/put", value=value)
        assert exact(data(store, "things/put")["value"]) == exact(value)
        store.commit([Patch("things/put", {"patched.value": value}, version)])
        assert exact(data(store, "things/put")["patched"]["value"]) == exact(value)

    def test_what_exists_cannot_be_created(self, store: Store) -> None:
        version = create(store, "things/a", n=1)
        with pytest.raises(errors.Conflict):
            create(store, "things/a", n=2)
        assert store.get("things/a").version == version
        assert data(store, "things/a") == {"n": 1}

    def test_a_put_replaces_the_whole_document(self, store: Store) -> None:
        version = create(store, "things/a", n=1, old=True)
        later = store.commit([Put("things/a", {"n": 2}, version)])
        assert data(store, "things/a") == {"n": 2}
        assert store.get("things/a").version == later > version

    def test_a_patch_changes_only_the_fields_that_it_names(self, store: Store) -> None:
        version = create(store, "things/a", n=1, kept="k", map={"x": 1, "y": 2})
        later = store.commit([Patch("things/a", {"n": 2, "map": {"z": 3}}, version)])
        assert data(store, "things/a") == {"n": 2, "kept": "k", "map": {"z": 3}}
        assert store.get("things/a").version == later > version

    def test_dotted_paths_reach_into_maps_also_by_number(self, store: Store) -> None:
        version = create(store, "things/a", runs={"1": {"startedAt": 1, "cost": 5}})
        changed = {"runs.1.startedAt": 2, "runs.1.endedAt": 3, "runs.12.startedAt": 4, "new.x.y": 5}
        store.commit([Patch("things/a", changed, version)])
        assert data(store, "things/a") == {
            "runs": {"1": {"startedAt": 2, "cost": 5, "endedAt": 3}, "12": {"startedAt": 4}},
            "new": {"x": {"y": 5}},
        }

    def test_a_patch_removes_fields(self, store: Store) -> None:
        version = create(store, "things/a", n=1, gone=2, map={"x": 1, "y": 2}, runs={"1": {"z": 1}})
        remove = ["gone", "map.x", "runs.1.z", "never", "never.there"]
        store.commit([Patch("things/a", {"n": 3}, version, remove)])
        assert data(store, "things/a") == {"n": 3, "map": {"y": 2}, "runs": {"1": {}}}

    def test_a_patch_may_do_nothing_but_remove(self, store: Store) -> None:
        version = create(store, "things/a", n=1, gone=2)
        store.commit([Patch("things/a", {}, version, ["gone"])])
        assert data(store, "things/a") == {"n": 1}

    def test_what_is_deleted_can_be_created_anew_at_a_later_version(self, store: Store) -> None:
        version = create(store, "things/a", n=1)
        store.commit([Delete("things/a", version)])
        assert store.get("things/a").version == MISSING
        assert create(store, "things/a", n=2) > version
        assert data(store, "things/a") == {"n": 2}

    @pytest.mark.parametrize("kind", ["put", "patch", "delete"])
    @pytest.mark.parametrize("stands", ["later", "nowhere", "deleted", "created anew"])
    def test_a_stale_version_conflicts_and_changes_nothing(
        self, store: Store, kind: str, stands: str
    ) -> None:
        version = create(store, "things/a", n=1)
        if stands == "later":
            store.commit([Patch("things/a", {"n": 2}, version)])
        elif stands != "nowhere":
            store.commit([Delete("things/a", version)])
        if stands == "created anew":
            create(store, "things/a", n=2)
        path = "things/b" if stands == "nowhere" else "things/a"
        before = store.get(path)
        with pytest.raises(errors.Conflict):
            store.commit([WRITES[kind](path, version)])
        after = store.get(path)
        assert (after.data, after.version) == (before.data, before.version)

    def test_a_commit_writes_all_documents_at_one_version(self, store: Store) -> None:
        first = create(store, "things/a", n=1)
        gone = create(store, "things/b", n=1)
        writes: list[Write] = [
            Patch("things/a", {"n": 2}, first),
            Delete("things/b", gone),
            Put("things/c", {"n": 3}),
            Put("others/a", {"n": 4}),
        ]
        version = store.commit(writes)
        paths = ["things/a", "things/b", "things/c", "others/a"]
        assert [data(store, path).get("n") for path in paths] == [2, None, 3, 4]
        assert [store.get(path).version for path in paths] == [version, MISSING, version, version]

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_one_conflict_stops_the_whole_commit(self, store: Store, place: int) -> None:
        first = create(store, "things/a", n=1)
        create(store, "things/b", n=1)
        writes: list[Any] = [Patch("things/a", {"n": 2}, first), Put("things/c", {"n": 3})]
        writes.insert(place, Put("things/b", {"n": 2}))
        with pytest.raises(errors.Conflict):
            store.commit(writes)
        assert data(store, "things/a") == data(store, "things/b") == {"n": 1}
        assert store.get("things/a").version == first
        assert store.get("things/c").version == MISSING

    def test_versions_strictly_grow_and_reads_come_after_them(self, store: Store) -> None:
        version = create(store, "things/a", n=0)
        for n in range(1, 40):
            later = store.commit([Patch("things/a", {"n": n}, version)])
            assert later > version
            version = later
        document = store.get("things/a")
        assert document.version == version
        assert document.read_at >= version
        [found] = store.query(Query(collection="things"))
        assert found.version == version
        assert found.read_at >= version


WRITES: Mapping[str, Any] = {
    "put": lambda path, version: Put(path, {"n": 9}, version),
    "patch": lambda path, version: Patch(path, {"n": 9}, version),
    "delete": lambda path, version: Delete(path, version),
}
