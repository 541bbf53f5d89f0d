"""The wire: every call to the database and the bus, counted as Google bills it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import grpc

from shared.storage.bus import Bus
from shared.storage.sqlite.store import EmbeddedStore
from shared.storage.store import Delete, Document, Query, Total, Write
from tests.bench import prices


class Tally:
    """What was counted since it was last taken.

    `writes`, `deletes` and `reads` are documents; `commits`, `queries`, `listens`, `publishes`,
    `pushes` and `requests` are calls; `bytes` are those of published messages, `billed_bytes` those
    that Pub/Sub bills for publishing and pushing.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, **amounts: int) -> None:
        """Counts."""
        with self._lock:
            self._counts.update(amounts)

    def seen(self, name: str) -> int:
        """How many there are so far."""
        return self._counts[name]

    def take(self) -> Counter[str]:
        """The counts, which begin anew; what did not happen is not in them."""
        with self._lock:
            taken, self._counts = self._counts, Counter()
        return +taken

    def published(self, data: bytes, attributes: Mapping[str, str]) -> None:
        """Counts a message that was published."""
        size = message_size(data, attributes)
        self.add(publishes=1, bytes=size, billed_bytes=prices.billed(size))


def message_size(data: bytes, attributes: Mapping[str, str]) -> int:
    """The bytes of a message: its data and its attributes."""
    named = "".join((*attributes.keys(), *attributes.values()))
    return len(data) + len(named.encode())


class WireCalls(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Counts gRPC calls to Firestore and Pub/Sub as they leave this process."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def intercept_unary_unary(self, proceed: Any, details: Any, request: Any) -> Any:
        """Commits, publishes."""
        method = _method(details)
        if method == "Commit":
            deletes = sum(bool(write.delete) for write in request.writes)
            self._tally.add(commits=1, writes=len(request.writes) - deletes, deletes=deletes)
        elif method == "Publish":
            for message in request.messages:
                self._tally.published(message.data, message.attributes)
        else:
            self._tally.add(**{method: 1})
        return proceed(details, request)

    def intercept_unary_stream(self, proceed: Any, details: Any, request: Any) -> Any:
        """Reads of documents, found or not; queries, where finding nothing is a read too."""
        method = _method(details)
        if method == "BatchGetDocuments":
            self._tally.add(reads=len(request.documents))
            return proceed(details, request)
        self._tally.add(queries=1, reads=1)
        if method == "RunAggregationQuery":  # one read for up to 1,000 index entries
            return proceed(details, request)
        return Answers(proceed(details, request), self._found())

    def intercept_stream_stream(self, proceed: Any, details: Any, requests: Any) -> Any:
        """A listener: each document that it is told of is a read."""
        self._tally.add(listens=1)
        return Answers(proceed(details, requests), self._told)

    def _found(self) -> Callable[[Any], None]:
        first = True

        def see(answer: Any) -> None:
            nonlocal first
            if answer.document.name:
                self._tally.add(reads=int(not first))  # the first is counted with its query
                first = False

        return see

    def _told(self, answer: Any) -> None:
        self._tally.add(reads=int(bool(answer.document_change.document.name)))


class Answers:
    """A call's stream of answers, each of them seen as it comes."""

    def __init__(self, call: Any, see: Callable[[Any], None]) -> None:
        self._call, self._see = call, see

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        answer = next(self._call)
        self._see(answer)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


@contextmanager
def tapped(tally: Tally) -> Iterator[None]:
    """Within it, every gRPC channel that is opened to an emulator is counted, for good."""
    opened = grpc.insecure_channel
    calls = WireCalls(tally)
    with mock.patch.object(
        grpc,
        "insecure_channel",
        lambda *to, **how: grpc.intercept_channel(opened(*to, **how), calls),
    ):
        yield


class EmbeddedCalls:
    """The embedded store, counted as Firestore would bill the same calls."""

    def __init__(self, store: EmbeddedStore, tally: Tally) -> None:
        self._store, self._tally = store, tally

    def get(self, path: str) -> Document:
        """See `Store.get`."""
        self._tally.add(reads=1)
        return self._store.get(path)

    def commit(self, writes: Sequence[Write]) -> int:
        """See `Store.commit`."""
        deletes = sum(isinstance(write, Delete) for write in writes)
        self._tally.add(commits=1, writes=len(writes) - deletes, deletes=deletes)
        return self._store.commit(writes)

    def query(self, query: Query) -> list[Document]:
        """See `Store.query`."""
        found = self._store.query(query)
        self._tally.add(queries=1, reads=max(1, len(found)))
        return found

    def total(self, query: Query, sum_field: str) -> Total:
        """See `Store.total`."""
        self._tally.add(queries=1, reads=1)
        return self._store.total(query, sum_field)

    def wait(self, path: str, until: Callable[[Document], bool], seconds: float) -> Document:
        """See `Store.wait`: as a listener that is told of the document as it is, and as it ends."""
        self._tally.add(listens=1, reads=2)
        return self._store.wait(path, until, seconds)


class EmbeddedBus:
    """The embedded bus, counted."""

    def __init__(self, bus: Bus, tally: Tally) -> None:
        self._bus, self._tally = bus, tally

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """See `Bus.publish`."""
        self._tally.published(data, attributes)
        return self._bus.publish(topic, data, attributes)


def _method(details: Any) -> str:
    return str(details.method.rpartition("/")[2])
