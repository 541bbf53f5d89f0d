"""The store port: Firestore's own commit, nothing weaker, nothing stronger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

Operator = Literal["==", "<", "<=", ">", ">=", "in"]
Filter = tuple[str, Operator, Any]

MISSING = 0  # the version of a document that does not exist


@dataclass(frozen=True, kw_only=True)
class Document:
    """A document as it stood at `read_at`."""

    path: str  # collection/id
    data: Mapping[str, Any]  # empty where the document does not exist
    version: int  # the commit time of its last change, in microseconds; MISSING where there is none
    read_at: int = 0  # the server's clock at the read, in microseconds since the epoch

    @property
    def id(self) -> str:
        """The last segment of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Put:
    """Writes a whole document, provided that it stands at `version` (MISSING: creates it)."""

    path: str
    data: Mapping[str, Any]
    version: int = MISSING


@dataclass(frozen=True)
class Patch:
    """Changes some fields (dotted paths) of the document that stands at `version`."""

    path: str
    fields: Mapping[str, Any]
    version: int
    remove: Sequence[str] = ()


@dataclass(frozen=True)
class Delete:
    """Deletes the document that stands at `version`."""

    path: str
    version: int


Write = Put | Patch | Delete


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which documents of a collection, in which order, and from where on."""

    collection: str
    where: Sequence[Filter] = field(default=())
    order: str | None = None  # a field; `-field` for descending; ties are broken by the id
    limit: int = 100
    after: tuple[Any, str] | None = None  # (value of the order field, id) of the last one seen


@dataclass(frozen=True)
class Total:
    """An aggregate over every document that a query matches, whatever its limit."""

    count: int
    sum: int
    read_at: int  # server's clock, microseconds: every commit before it is counted, none after


class Store(Protocol):
    """Documents with versions, changed by commits that hold entirely or not at all.

    Every method raises `errors.Unavailable` where the store cannot be reached; then a commit may
    have landed or not, which only a read can tell.
    """

    def get(self, path: str) -> Document:
        """The document, or one with version MISSING."""

    def commit(self, writes: Sequence[Write]) -> int:
        """Applies all writes at once; returns their new version, the commit's own time.

        Raises `errors.Conflict` where a precondition does not hold; then nothing was written.
        """

    def query(self, query: Query) -> list[Document]:
        """The documents that match; those that lack the ordered field are skipped."""

    def total(self, query: Query, sum_field: str) -> Total:
        """How many documents match and have this integer field, and its sum over them."""

    def wait(self, path: str, until: Callable[[Document], bool], seconds: float) -> Document:
        """The document as soon as `until` holds for it, or as it stands when time is up."""


def pages(store: Store, query: Query) -> Iterator[list[Document]]:
    """All that an ordered query matches, `limit` at a time; raises as `Store.query` does."""
    assert query.order  # noqa: S101 - that is where the next page begins
    while True:
        page = store.query(query)
        yield page
        if len(page) < query.limit:
            return
        last = page[-1].data[query.order.removeprefix("-")]
        query = replace(query, after=(last, page[-1].id))
