"""Documents and queries in Firestore's protocol buffers, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from google.cloud.firestore_v1.types import document as documents, query as queries
from google.protobuf.timestamp_pb2 import Timestamp

from shared.store import Patch, Query

SECOND = 1_000_000  # microseconds
SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Value = documents.Value.pb()


def filters(query: Query) -> queries.StructuredQuery.Filter | None:
    """The conditions of a query; None where there are none."""
    operators = {"==": "EQUAL", "<": "LESS_THAN", "<=": "LESS_THAN_OR_EQUAL", "in": "IN"}
    operators |= {">": "GREATER_THAN", ">=": "GREATER_THAN_OR_EQUAL"}
    filters = [
        {
            "field_filter": {
                "field": {"field_path": name},
                "op": operators[operator],
                "value": encoded(value),
            }
        }
        for name, operator, value in query.where
    ]
    if not filters:
        return None
    conjunction = queries.StructuredQuery.CompositeFilter.Operator.AND
    return queries.StructuredQuery.Filter(composite_filter={"op": conjunction, "filters": filters})


def encoded(value: Any) -> documents.Value:
    """A value, as a cursor or a filter takes it."""
    pb = Value()
    _set(pb, value)
    wrapped: documents.Value = documents.Value.wrap(pb)
    return wrapped


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
