"""The types of fields: each takes one JSON type, and says what is wrong with any other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import ValidationError, fields, validate

from shared import limits, money
from shared.clock import SECOND

WHOLE = re.compile(r"[0-9]{1,9}")
NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
MILLISECONDS = 1e11  # Unix seconds reach this in the year 5138


class _Strict(fields.Field[Any]):
    """A field of one JSON type; a boolean is no number."""

    types: ClassVar[tuple[type, ...]] = ()
    expected: ClassVar[str] = ""
    described: Mapping[str, Any] = {}  # in JSON Schema, for the OpenAPI document

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, self.types):
            raise ValidationError(f"must be {self.expected}, not {json_type(value)}")
        return value


class Text(_Strict):
    """A string without control characters."""

    types, expected = (str,), "text"

    def __init__(self, pattern: str = r"[^\x00-\x1f\x7f]+", most: int = 255, **kwargs: Any) -> None:
        choices = {"enum": pattern.split("|")} if re.fullmatch(r"[a-z|]+", pattern) else None
        lengths = {"minLength": 1, "maxLength": most, "pattern": f"^(?:{pattern})$"}
        self.described = {"type": "string", **(choices or lengths)}
        mend = f"must match {pattern}".replace("{", "{{").replace("}", "}}")  # a format string
        super().__init__(
            validate=[
                validate.Length(min=1, max=most, error=f"must have 1 to {most} characters"),
                validate.Regexp(rf"(?:{pattern})\Z", error=mend),
            ],
            **kwargs,
        )


class Whole(_Strict):
    """An integer of 0 or more."""

    types, expected = (int,), "an integer"

    def __init__(self, most: int = 2**53, **kwargs: Any) -> None:
        self.described = {"type": "integer", "minimum": 0, "maximum": most}
        limits = validate.Range(0, most, error=f"must lie between 0 and {most}")
        super().__init__(validate=limits, **kwargs)


class Flag(fields.Field[bool]):
    """A boolean; a number is none, though Python has 1 == True."""

    described: Mapping[str, Any] = {"type": "boolean"}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError(f"must be a boolean, not {json_type(value)}")
        return value


class Cents(_Strict):
    """An amount in cents; loads as micros."""

    types, expected = (int, float), "a number of cents"
    described: Mapping[str, Any] = {
        "type": "number",
        "minimum": 0,
        "maximum": money.MOST_CENTS,
        "multipleOf": 0.0001,
        "description": "an amount in cents, with at most 4 decimals",
    }

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        try:
            return money.from_cents(super()._deserialize(value, *args, **kwargs))
        except ValueError as error:
            if isinstance(error, ValidationError):
                raise
            raise ValidationError(str(error)) from None


class Amount(Cents):
    """An amount in cents that is only shown: loads as it stands."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        super()._deserialize(value, *args, **kwargs)
        return value


class Seconds(_Strict):
    """A span in seconds; loads as microseconds."""

    types, expected = (int, float), "a number of seconds"
    described: Mapping[str, Any] = {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": limits.TTL,
        "description": "seconds from now to the deadline",
    }

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        seconds = super()._deserialize(value, *args, **kwargs)
        if not 0 < seconds <= limits.TTL:
            raise ValidationError(f"must be more than 0 and at most {limits.TTL} seconds")
        micros: int = round(seconds * SECOND)
        return micros


class UnixTime(_Strict):
    """A point in time in Unix seconds; loads as microseconds."""

    types, expected = (int, float), "a number of Unix seconds"
    described: Mapping[str, Any] = {
        "type": "number",
        "minimum": 0,
        "exclusiveMaximum": MILLISECONDS,
        "description": f"the deadline in Unix seconds, at most {limits.TTL} seconds from now",
    }

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        seconds = super()._deserialize(value, *args, **kwargs)
        if seconds >= MILLISECONDS:
            raise ValidationError("looks like milliseconds: give Unix seconds")
        if seconds < 0:
            raise ValidationError("lies in the past: give Unix seconds that are still to come")
        micros: int = round(seconds * SECOND)
        return micros


class Json(fields.Field[Any]):
    """Any JSON value."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_none=True, **kwargs)


class Parameter(fields.Field[float]):
    """A number in a query string, written as in JSON; with a fraction unless it is `whole`."""

    def __init__(self, least: int, most: int, *, whole: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.least, self.most, self.whole = least, most, whole
        kind = "integer" if whole else "number"
        self.described = {"type": kind, "minimum": least, "maximum": most}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> float:
        plain = (WHOLE if self.whole else NUMBER).fullmatch(value)
        number = float(value) if plain else -1
        if not self.least <= number <= self.most:
            kind = "an integer" if self.whole else "a number"
            raise ValidationError(f"must be {kind} from {self.least} to {self.most}")
        return int(number) if self.whole else number


def json_type(value: Any) -> str:
    """What a value is called in JSON."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "a boolean"
    names = {str: "text", int: "a number", float: "a number", list: "an array"}
    return names.get(type(value), "an object")
