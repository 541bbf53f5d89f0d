"""The Firestore store: the generated client, one call a method."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
from google.api_core import exceptions, retry
from google.cloud.firestore_v1.services.firestore import FirestoreClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport
from google.cloud.firestore_v1.types import (
    document as documents,
    firestore as messages,
    query as queries,
)

from shared import errors
from shared.backends import firestore_wire as wire
from shared.store import MISSING, Delete, Document, Put, Query, Total, Write

CALL = 10.0  # seconds one try may take
PATIENCE = 20.0  # seconds of tries, then `errors.Unavailable`
BROKEN = 0.1  # seconds before a listener that broke is opened anew
TARGET = 1  # the one target of a listener's stream

Change = messages.TargetChange.TargetChangeType

# A commit that landed though its answer was lost fails its own precondition when it is tried again.
RETRY = retry.Retry(
    predicate=retry.if_exception_type(
        exceptions.ServiceUnavailable,
        exceptions.Aborted,
        exceptions.ResourceExhausted,
        exceptions.Cancelled,  # the emulator's answer to a commit while a listener goes away
    ),
    initial=0.05,
    maximum=2.0,
    multiplier=2.0,
    timeout=PATIENCE,
)
LOST = (exceptions.AlreadyExists, exceptions.FailedPrecondition, exceptions.NotFound)


class FirestoreStore:
    """Implements `shared.store.Store`."""

    def __init__(self, project: str, database: str, emulator_host: str = "") -> None:
        self._database = f"projects/{project}/databases/{database}"
        self._root = f"{self._database}/documents"
        self._metadata = [("google-cloud-resource-prefix", self._database)]
        if emulator_host:
            channel = grpc.insecure_channel(emulator_host)
            self._client = FirestoreClient(transport=FirestoreGrpcTransport(channel=channel))
            self._metadata.append(("authorization", "Bearer owner"))
        else:
            self._client = FirestoreClient()

    def get(self, path: str) -> Document:
        """See `Store.get`."""
        request = messages.BatchGetDocumentsRequest(
            database=self._database, documents=[self._name(path)]
        )
        with _translated():
            [answer] = self._call(self._client.batch_get_documents, request)
        found = messages.BatchGetDocumentsResponse.pb(answer)
        read_at = wire.micros(found.read_time)
        if found.HasField("found"):
            return self._document(found.found, read_at)
        return Document(path=path, data={}, version=MISSING, read_at=read_at)

    def commit(self, writes: Sequence[Write]) -> int:
        """See `Store.commit`."""
        request = messages.CommitRequest(database=self._database)
        pb = messages.CommitRequest.pb(request)
        for write in writes:
            self._encode(write, pb.writes.add())
        with _translated():
            answer = self._call(self._client.commit, request)
        return wire.micros(messages.CommitResponse.pb(answer).commit_time)

    def query(self, query: Query) -> list[Document]:
        """See `Store.query`."""
        request = messages.RunQueryRequest(
            parent=self._root, structured_query=self._structured(query)
        )
        with _translated():
            answers = list(self._call(self._client.run_query, request))
        pbs = [messages.RunQueryResponse.pb(answer) for answer in answers]
        return [
            self._document(pb.document, wire.micros(pb.read_time)) for pb in pbs if pb.document.name
        ]

    def total(self, query: Query, sum_field: str) -> Total:
        """See `Store.total`."""
        structured = queries.StructuredQuery(
            from_=[{"collection_id": query.collection}], where=wire.filters(query)
        )
        aggregation = queries.StructuredAggregationQuery.Aggregation
        request = messages.RunAggregationQueryRequest(
            parent=self._root,
            structured_aggregation_query={
                "structured_query": structured,
                "aggregations": [
                    aggregation(alias="count", count={}),
                    aggregation(alias="sum", sum={"field": {"field_path": sum_field}}),
                ],
            },
        )
        with _translated():
            [answer] = self._call(self._client.run_aggregation_query, request)
        pb = messages.RunAggregationQueryResponse.pb(answer)
        result = {alias: wire.decode(value) for alias, value in pb.result.aggregate_fields.items()}
        return Total(count=result["count"], sum=result["sum"], read_at=wire.micros(pb.read_time))

    def wait(self, path: str, until: Callable[[Document], bool], seconds: float) -> Document:
        """See `Store.wait`: a listener, so nothing is polled."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = self._listened(path, until, max(0.0, deadline - time.monotonic()))
            except exceptions.DeadlineExceeded:
                return self.get(path)
            except exceptions.GoogleAPICallError:
                found = None
            # Where the stream broke, or ended, a new one goes on, if time is left.
            document = found or self.get(path)
            if found or until(document) or time.monotonic() >= deadline:
                return document
            time.sleep(BROKEN)

    def _listened(
        self, path: str, until: Callable[[Document], bool], seconds: float
    ) -> Document | None:
        """The document once `until` holds, if the stream lasts; raises Google's own errors.

        The target is removed before the stream is left: the emulator fails the commit of whoever
        changes a document while one of its listeners goes away.
        """
        requests: queue.SimpleQueue[messages.ListenRequest | None] = queue.SimpleQueue()
        target = {"documents": {"documents": [self._name(path)]}, "target_id": TARGET}
        requests.put(messages.ListenRequest(database=self._database, add_target=target))
        stream: Any = None
        found = None
        try:
            stream = self._client.listen(
                requests=iter(requests.get, None),
                retry=None,  # the default one would go on for minutes
                timeout=seconds,
                metadata=self._metadata,
            )
            for answer in stream:
                pb = messages.ListenResponse.pb(answer)
                change = pb.target_change.target_change_type
                if found and change == Change.REMOVE:
                    break
                document = self._seen(pb, path, change)
                if not found and document and until(document):
                    found = document
                    requests.put(
                        messages.ListenRequest(database=self._database, remove_target=TARGET)
                    )
        except exceptions.GoogleAPICallError:
            if not found:
                raise
        finally:
            requests.put(None)
            if stream is not None:
                stream.cancel()
        return found

    def _seen(self, pb: Any, path: str, change: int) -> Document | None:
        """What an answer of the listener tells of the document, if it does."""
        if pb.HasField("document_change"):
            return self._document(pb.document_change.document, 0)
        # Once the listener is complete it misses nothing; what the emulator missed before is read.
        return self.get(path) if change == Change.CURRENT else None

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        return method(request=request, retry=RETRY, timeout=CALL, metadata=self._metadata)

    def _name(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _document(self, pb: Any, read_at: int) -> Document:
        return Document(
            path=pb.name.removeprefix(f"{self._root}/"),
            data={name: wire.decode(value) for name, value in pb.fields.items()},
            version=wire.micros(pb.update_time),
            read_at=read_at,
        )

    def _encode(self, write: Write, pb: Any) -> None:
        if write.version == MISSING:
            pb.current_document.exists = False
        else:
            pb.current_document.update_time.CopyFrom(wire.timestamp(write.version))
        if isinstance(write, Delete):
            pb.delete = self._name(write.path)
            return
        pb.update.name = self._name(write.path)
        if isinstance(write, Put):
            wire.fill(pb.update.fields, write.data)
            return
        wire.fill(pb.update.fields, wire.nested(write))
        pb.update_mask.field_paths.extend(
            wire.quoted(path) for path in (*write.fields, *write.remove)
        )

    def _structured(self, query: Query) -> queries.StructuredQuery:
        structured = queries.StructuredQuery(
            from_=[{"collection_id": query.collection}],
            where=wire.filters(query),
            limit=query.limit,
        )
        direction = queries.StructuredQuery.Direction.ASCENDING
        field = (query.order or "").removeprefix("-")
        if field != (query.order or ""):
            direction = queries.StructuredQuery.Direction.DESCENDING
        for name in filter(None, (field, "__name__")):
            by = queries.StructuredQuery.FieldReference(field_path=name)
            structured.order_by.append(queries.StructuredQuery.Order(field=by, direction=direction))
        if query.after:
            value, id_ = query.after
            reference = documents.Value(reference_value=self._name(f"{query.collection}/{id_}"))
            values = [wire.encoded(value), reference] if query.order else [reference]
            structured.start_at = queries.Cursor(values=values, before=False)
        return structured


@contextmanager
def _translated() -> Iterator[None]:
    """Google's errors as ours."""
    try:
        yield
    except LOST as error:
        raise errors.Conflict(error.message) from error
    except exceptions.InvalidArgument as error:
        raise errors.Error(f"Firestore refuses it: {error.message}") from error
    except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
        raise errors.Unavailable(f"Firestore: {error.message}") from error
