"""Documents and queries in Firestore's protocol buffers, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from shared.storage.google import channel
from shared.storage.store import Patch, Query

with channel.bare("google.cloud.firestore_v1"):
    from google.cloud.firestore_v1.types import document as documents, query as queries

SECOND = 1_000_000  # microseconds
SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Operator = queries.StructuredQuery.FieldFilter.Operator
OPERATORS = {
    "==": Operator.EQUAL,
    "<": Operator.LESS_THAN,
    "<=": Operator.LESS_THAN_OR_EQUAL,
    ">": Operator.GREATER_THAN,
    ">=": Operator.GREATER_THAN_OR_EQUAL,
    "in": Operator.IN,
}
AND = queries.StructuredQuery.CompositeFilter.Operator.AND
Value = documents.Value.pb()
Structured = queries.StructuredQuery.pb()
Aggregated = queries.StructuredAggregationQuery.pb()


def structured(query: Query, root: str) -> Any:
    """A query as Firestore takes it; `root` is the path of all documents."""
    made = _selection(query)
    made.limit.value = query.limit
    field = (query.order or "").removeprefix("-")
    direction = "ASCENDING" if field == (query.order or "") else "DESCENDING"
    for name in filter(None, (field, "__name__")):
        by = made.order_by.add()
        by.field.field_path = name
        by.direction = Structured.Direction.Value(direction)
    if query.after:
        value, id_ = query.after
        if query.order:
            _set(made.start_at.values.add(), value)
        made.start_at.values.add(reference_value=f"{root}/{query.collection}/{id_}")
        made.start_at.before = False
    return made


def summed(query: Query, field: str) -> Any:
    """The count of a query's documents, and the sum of a field, as `count` and `sum`."""
    made = Aggregated(structured_query=_selection(query))
    made.aggregations.add(alias="count").count.SetInParent()
    made.aggregations.add(alias="sum").sum.field.field_path = field
    return made


def _selection(query: Query) -> Any:
    """The collection and the conditions of a query."""
    made = Structured()
    made.from_.add(collection_id=query.collection)
    for name, operator, value in query.where:
        made.where.composite_filter.op = AND
        condition = made.where.composite_filter.filters.add().field_filter
        condition.field.field_path = name
        condition.op = OPERATORS[operator]
        _set(condition.value, value)
    return made


def fill(fields: Any, data: Mapping[str, Any]) -> None:
    """Writes a map of values into a message's fields."""
    for name, value in data.items():
        _set(fields[name], value)


def _set(pb: Any, value: Any) -> None:
    if value is None:
        pb.null_value = 0
    elif isinstance(value, bool):
        pb.boolean_value = value
    elif isinstance(value, int):
        pb.integer_value = value
    elif isinstance(value, float):
        pb.double_value = value
    elif isinstance(value, datetime):
        pb.timestamp_value.CopyFrom(timestamp(round(value.timestamp() * SECOND)))
    elif isinstance(value, str):
        pb.string_value = value
    elif isinstance(value, Mapping):
        pb.map_value.SetInParent()
        fill(pb.map_value.fields, value)
    else:
        pb.array_value.SetInParent()
        for each in value:
            _set(pb.array_value.values.add(), each)


def decode(pb: Any) -> Any:
    """The Python value of a `Value`."""
    kind = pb.WhichOneof("value_type")
    if kind == "map_value":
        return {name: decode(value) for name, value in pb.map_value.fields.items()}
    if kind == "array_value":
        return [decode(value) for value in pb.array_value.values]
    if kind == "timestamp_value":
        return datetime.fromtimestamp(micros(pb.timestamp_value) / SECOND, UTC)
    return None if kind == "null_value" else getattr(pb, kind)


def nested(patch: Patch) -> dict[str, Any]:
    """The patch's dotted paths as a map of maps."""
    data: dict[str, Any] = {}
    for path, value in patch.fields.items():
        *parents, last = path.split(".")
        at = data
        for segment in parents:
            at = at.setdefault(segment, {})
        at[last] = value
    return data


def quoted(path: str) -> str:
    """A dotted path as a field mask takes it."""
    return ".".join(
        segment if SIMPLE.fullmatch(segment) else f"`{segment}`" for segment in path.split(".")
    )


def micros(timestamp: Any) -> int:
    """A timestamp in microseconds since the epoch."""
    return int(timestamp.seconds) * SECOND + int(timestamp.nanos) // 1000


def timestamp(micros: int) -> Timestamp:
    """Microseconds since the epoch as a timestamp."""
    seconds, rest = divmod(micros, SECOND)
    return Timestamp(seconds=seconds, nanos=rest * 1000)
