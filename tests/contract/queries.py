"""The contract of `shared.storage.store`, queries and totals; every store passes all of it."""

from __future__ import annotations

from typing import Any

import pytest

from shared.storage.store import Filter, Put, Query, Store
from tests.contract.commits import create

THINGS: dict[str, dict[str, Any]] = {
    "a": {"n": 3, "kind": "x", "live": True},
    "b": {"n": 1, "kind": "y", "live": True},
    "c": {"n": 2, "kind": "x", "live": False},
    "d": {"n": 2, "kind": "z"},
    "e": {"n": 2, "kind": "x"},
    "f": {"kind": "x"},
    "g": {"n": 1, "kind": "x"},
}

ORDERS = {
    None: ["a", "b", "c", "d", "e", "f", "g"],
    "n": ["b", "g", "c", "d", "e", "a"],
    "-n": ["a", "e", "d", "c", "g", "b"],
}

FILTERS: dict[str, tuple[list[Filter], list[str]]] = {
    "nothing asked": ([], ["a", "b", "c", "d", "e", "f", "g"]),
    "equal text": ([("kind", "==", "x")], ["a", "c", "e", "f", "g"]),
    "equal number": ([("n", "==", 2)], ["c", "d", "e"]),
    "equal boolean": ([("live", "==", True)], ["a", "b"]),
    "in": ([("kind", "in", ["y", "z", "w"])], ["b", "d"]),
    "both": ([("kind", "==", "x"), ("n", "in", [1, 2])], ["c", "e", "g"]),
    "none matches": ([("kind", "==", "w")], []),
}

RANGES: dict[str, tuple[list[Filter], list[str]]] = {
    "<=": ([("n", "<=", 2)], ["b", "g", "c", "d", "e"]),
    "<": ([("n", "<", 2)], ["b", "g"]),
    ">=": ([("n", ">=", 2)], ["c", "d", "e", "a"]),
    ">": ([("n", ">", 2)], ["a"]),
    "a range of some": ([("kind", "==", "x"), ("n", "<=", 2)], ["g", "c", "e"]),
}


@pytest.fixture
def things(store: Store) -> int:
    """A collection with ties, and with one document that lacks `n`; its version."""
    create(store, "others/a", n=1, kind="x")
    return store.commit([Put(f"things/{id_}", fields) for id_, fields in THINGS.items()])


def ids(store: Store, query: Query) -> list[str]:
    """The ids that match, in their order."""
    return [document.id for document in store.query(query)]


@pytest.mark.usefixtures("things")
class Queries:
    """Finding documents."""

    @pytest.mark.parametrize(("where", "found"), FILTERS.values(), ids=FILTERS)
    def test_a_filter_finds_what_matches(
        self, store: Store, where: list[Filter], found: list[str]
    ) -> None:
        assert ids(store, Query(collection="things", where=where)) == found

    @pytest.mark.parametrize(("where", "found"), RANGES.values(), ids=RANGES)
    def test_a_range_finds_what_lies_within(
        self, store: Store, where: list[Filter], found: list[str]
    ) -> None:
        assert ids(store, Query(collection="things", where=where, order="n")) == found

    def test_documents_come_with_path_data_and_version(self, store: Store, things: int) -> None:
        [found] = store.query(Query(collection="things", where=[("kind", "==", "z")]))
        assert (found.path, found.data, found.version) == ("things/d", THINGS["d"], things)
        assert found.read_at >= things

    @pytest.mark.parametrize("order", ORDERS)
    def test_an_order_breaks_ties_by_id_and_skips_what_lacks_its_field(
        self, store: Store, order: str | None
    ) -> None:
        assert ids(store, Query(collection="things", order=order)) == ORDERS[order]

    @pytest.mark.parametrize("order", ORDERS)
    @pytest.mark.parametrize("limit", [1, 2, 3])
    def test_pages_after_pages_give_everything_once(
        self, store: Store, order: str | None, limit: int
    ) -> None:
        seen: list[str] = []
        after: tuple[Any, str] | None = None
        for _ in range(10):
            query = Query(collection="things", order=order, limit=limit, after=after)
            page = store.query(query)
            assert len(page) <= limit
            if not page:
                break
            seen += [document.id for document in page]
            after = page[-1].data.get("n") if order else None, page[-1].id
        assert seen == ORDERS[order]

    @pytest.mark.parametrize("order", ["at", "-at"])
    def test_pages_over_thirty_shards_are_in_one_order(self, store: Store, order: str) -> None:
        at = {f"{n:02}": n * 7 % 20 for n in range(40)}  # some of one moment, in unlike shards
        lacking = Put("sharded/lacking", {"shard": 0})
        foreign = Put("sharded/foreign", {"shard": 30, "at": 5})
        made = [Put(f"sharded/{id_}", {"shard": int(id_) % 30, "at": at[id_]}) for id_ in at]
        store.commit([*made, lacking, foreign])
        bound: list[Filter] = [("shard", "in", list(range(30))), ("at", "<=", 18)]
        expected = sorted((id_ for id_ in at if at[id_] <= 18), key=lambda id_: (at[id_], id_))
        seen: list[str] = []
        after: tuple[Any, str] | None = None
        while True:
            page = store.query(
                Query(collection="sharded", where=bound, order=order, limit=7, after=after)
            )
            seen += [document.id for document in page]
            if len(page) < 7:
                break
            after = page[-1].data["at"], page[-1].id
        assert seen == (expected if order == "at" else expected[::-1])

    def test_a_page_goes_on_behind_a_document_that_is_gone(self, store: Store) -> None:
        query = Query(collection="things", where=[("n", "<=", 2)], order="n", after=(1, "cc"))
        assert ids(store, query) == ["g", "c", "d", "e"]

    def test_nothing_is_found_in_a_collection_that_does_not_exist(self, store: Store) -> None:
        assert store.query(Query(collection="nothing", order="n")) == []


@pytest.mark.usefixtures("things")
class Totals:
    """Counting and summing without reading."""

    @pytest.mark.parametrize(
        ("where", "count", "total"),
        [
            ([], 6, 11),
            ([("kind", "==", "x")], 4, 8),
            ([("kind", "==", "x"), ("live", "in", [True, False])], 2, 5),
            ([("kind", "==", "w")], 0, 0),
        ],
        ids=["all but one without the field", "filtered", "two filters", "nothing"],
    )
    def test_a_total_counts_and_sums_what_matches(
        self, store: Store, where: list[Filter], count: int, total: int
    ) -> None:
        found = store.total(Query(collection="things", where=where, limit=1), "n")
        assert (found.count, found.sum) == (count, total)
        assert isinstance(found.sum, int)

    def test_a_total_comes_after_every_commit_that_it_counts(
        self, store: Store, things: int
    ) -> None:
        assert store.total(Query(collection="things"), "n").read_at >= things
        later = create(store, "things/z", n=100)
        found = store.total(Query(collection="things"), "n")
        assert (found.sum, found.read_at >= later) == (111, True)

    def test_a_total_of_nothing_has_a_time_too(self, store: Store, things: int) -> None:
        found = store.total(Query(collection="nothing"), "n")
        assert (found.count, found.sum, found.read_at >= things) == (0, 0, True)

    def test_sums_are_exact_beyond_a_double(self, store: Store) -> None:
        store.commit([Put(f"big/{n}", {"n": 2**53 + n}) for n in range(3)])
        assert store.total(Query(collection="big"), "n").sum == 3 * 2**53 + 3
