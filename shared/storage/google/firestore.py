"""The Firestore store: one call of its API a method."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc

from shared import errors
from shared.storage.google import channel as channels, codec as wire
from shared.storage.store import MISSING, Delete, Document, Put, Query, Total, Write

with channels.bare("google.cloud.firestore_v1"):
    from google.cloud.firestore_v1.types import firestore as messages

BROKEN = 0.1  # seconds before a listener that broke is opened anew
TARGET = 1  # the one target of a listener's stream

Change = messages.TargetChange.TargetChangeType
Commit, Committed = messages.CommitRequest.pb(), messages.CommitResponse.pb()
Get, Got = messages.BatchGetDocumentsRequest.pb(), messages.BatchGetDocumentsResponse.pb()
Run, Ran = messages.RunQueryRequest.pb(), messages.RunQueryResponse.pb()
Sum = messages.RunAggregationQueryRequest.pb()
Summed = messages.RunAggregationQueryResponse.pb()
Listen, Heard = messages.ListenRequest.pb(), messages.ListenResponse.pb()

Code = grpc.StatusCode
LOST = (Code.ALREADY_EXISTS, Code.FAILED_PRECONDITION, Code.NOT_FOUND)  # a precondition broke


class FirestoreStore:
    """Implements `shared.storage.store.Store`."""

    def __init__(self, project: str, database: str, emulator_host: str = "") -> None:
        self._database = f"projects/{project}/databases/{database}"
        self._root = f"{self._database}/documents"
        self._metadata = [
            ("google-cloud-resource-prefix", self._database),
            channels.routing(database=self._database),
        ]
        if emulator_host:
            self._metadata.append(("authorization", "Bearer owner"))
        channel = channels.channel("firestore.googleapis.com", emulator_host)
        one, many = channel.unary_unary, channel.unary_stream
        self._commit = _method(one, "Commit", Commit, Committed)
        self._get = _method(many, "BatchGetDocuments", Get, Got)
        self._run = _method(many, "RunQuery", Run, Ran)
        self._sum = _method(many, "RunAggregationQuery", Sum, Summed)
        self._listen = _method(channel.stream_stream, "Listen", Listen, Heard)

    def get(self, path: str) -> Document:
        """See `Store.get`."""
        request = Get(database=self._database, documents=[self._name(path)])
        with _translated():
            [found] = self._call(self._get, request)
        read_at = wire.micros(found.read_time)
        if found.HasField("found"):
            return self._document(found.found, read_at)
        return Document(path=path, data={}, version=MISSING, read_at=read_at)

    def commit(self, writes: Sequence[Write]) -> int:
        """See `Store.commit`."""
        request = Commit(database=self._database)
        for write in writes:
            self._encode(write, request.writes.add())
        with _translated():
            return wire.micros(self._call(self._commit, request).commit_time)

    def query(self, query: Query) -> list[Document]:
        """See `Store.query`."""
        request = Run(parent=self._root, structured_query=wire.structured(query, self._root))
        with _translated():
            answers = list(self._call(self._run, request))
        return [
            self._document(each.document, wire.micros(each.read_time))
            for each in answers
            if each.document.name
        ]

    def total(self, query: Query, sum_field: str) -> Total:
        """See `Store.total`."""
        request = Sum(parent=self._root, structured_aggregation_query=wire.summed(query, sum_field))
        with _translated():
            [answer] = self._call(self._sum, request)
        found = {name: wire.decode(each) for name, each in answer.result.aggregate_fields.items()}
        return Total(count=found["count"], sum=found["sum"], read_at=wire.micros(answer.read_time))

    def wait(self, path: str, until: Callable[[Document], bool], seconds: float) -> Document:
        """See `Store.wait`: a listener, so nothing is polled."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = self._listened(path, until, max(0.0, deadline - time.monotonic()))
            except grpc.RpcError as error:
                if error.code() == Code.DEADLINE_EXCEEDED:
                    return self.get(path)
                found = None
            # Where the stream broke, or ended, a new one goes on, if time is left.
            document = found or self.get(path)
            if found or until(document) or time.monotonic() >= deadline:
                return document
            time.sleep(BROKEN)

    def _listened(
        self, path: str, until: Callable[[Document], bool], seconds: float
    ) -> Document | None:
        """The document once `until` holds, if the stream lasts; raises gRPC's own errors.

        The target is removed before the stream is left: the emulator fails the commit of whoever
        changes a document while one of its listeners goes away.
        """
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        target = {"documents": {"documents": [self._name(path)]}, "target_id": TARGET}
        requests.put(Listen(database=self._database, add_target=target))
        stream = self._listen(iter(requests.get, None), timeout=seconds, metadata=self._metadata)
        found = None
        try:
            for answer in stream:
                change = answer.target_change.target_change_type
                if found and change == Change.REMOVE:
                    break
                document = self._seen(answer, path, change)
                if not found and document and until(document):
                    found = document
                    requests.put(Listen(database=self._database, remove_target=TARGET))
        except grpc.RpcError:
            if not found:
                raise
        finally:
            requests.put(None)
            stream.cancel()
        return found

    def _seen(self, answer: Any, path: str, change: int) -> Document | None:
        """What an answer of the listener tells of the document, if it does."""
        if answer.HasField("document_change"):
            return self._document(answer.document_change.document, 0)
        # Once the listener is complete it misses nothing; what the emulator missed before is read.
        return self.get(path) if change == Change.CURRENT else None

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        return method(request, timeout=channels.CALL, metadata=self._metadata)

    def _name(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _document(self, found: Any, read_at: int) -> Document:
        return Document(
            path=found.name.removeprefix(f"{self._root}/"),
            data={name: wire.decode(value) for name, value in found.fields.items()},
            version=wire.micros(found.update_time),
            read_at=read_at,
        )

    def _encode(self, write: Write, into: Any) -> None:
        if write.version == MISSING:
            into.current_document.exists = False
        else:
            into.current_document.update_time.CopyFrom(wire.timestamp(write.version))
        if isinstance(write, Delete):
            into.delete = self._name(write.path)
            return
        into.update.name = self._name(write.path)
        if isinstance(write, Put):
            wire.fill(into.update.fields, write.data)
            return
        wire.fill(into.update.fields, wire.nested(write))
        into.update_mask.field_paths.extend(
            wire.quoted(path) for path in (*write.fields, *write.remove)
        )


def _method(kind: Callable[..., Any], name: str, request: Any, answer: Any) -> Callable[..., Any]:
    """A call of Firestore's API, of one of gRPC's four kinds."""
    method: Callable[..., Any] = kind(
        f"/google.firestore.v1.Firestore/{name}",
        request_serializer=request.SerializeToString,
        response_deserializer=answer.FromString,
    )
    return method


@contextmanager
def _translated() -> Iterator[None]:
    """gRPC's errors as ours."""
    try:
        yield
    except grpc.RpcError as error:
        if error.code() in LOST:
            raise errors.Conflict(error.details()) from error
        if error.code() == Code.INVALID_ARGUMENT:
            raise errors.Error(f"Firestore refuses it: {error.details()}") from error
        raise errors.Unavailable(f"Firestore: {channels.reason(error)}") from error
