"""JSON as it is read and written here: one meaning for every reader, or it is refused."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any, NoReturn

from shared import errors

MOST_DEPTH = 64  # brackets within brackets of a value; the object around it may add one more

_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# A string, closed or not: since it always matches, no input makes the scan start over.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
# Every escape from left to right: a pair of surrogates, a lone one (the group), or any other.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<lone>u[dD][89a-fA-F]..)|.)", re.DOTALL
)


def loads(data: bytes) -> Any:
    """The value of a JSON text (RFC 8259) in UTF-8.

    Raises `errors.Malformed`, which says what is wrong and where, also for what Python or Flask
    would let pass: a byte order mark, UTF-16, NaN and Infinity, a key given twice, a lone
    surrogate (escaped too), more than `MOST_DEPTH` + 1 levels, a number beyond a double's range.
    """
    if data.startswith(b"\xef\xbb\xbf"):
        raise errors.Malformed("starts with a byte order mark: send plain UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise errors.Malformed(f"not UTF-8 at byte {error.start}") from None
    _check_depth(data, MOST_DEPTH + 1)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise errors.Malformed(f"not JSON: {error}") from None
    if b"\\u" in data:
        _check_surrogates(text)
    return value


def dumps(value: Any) -> str:
    """The compact JSON text of a value, such that `loads` reads it back, also in an object.

    Raises ValueError where there is none: an object that is not JSON, NaN, a lone surrogate, more
    than `MOST_DEPTH` levels, two keys that are the same once they are text.
    """
    try:
        text = compact(value)
        data = text.encode("utf-8")
        _check_depth(data, MOST_DEPTH)
        loads(data)
    except (TypeError, ValueError, RecursionError, errors.Malformed) as error:
        raise ValueError(f"cannot be written as JSON: {error}") from None
    return text


def compact(value: Any) -> str:
    """The same for what is made of values that were read or checked before."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _check_depth(data: bytes, most: int) -> None:
    """Refuses deep nesting before the parser, which recurses, sees it."""
    if data.count(b"[") + data.count(b"{") <= most:
        return
    depth = 0
    for bracket in _STRING.sub(b"", data).translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > most:
            raise errors.Malformed(f"nested deeper than {most} levels")


def _check_surrogates(text: str) -> None:
    for escape in _ESCAPE.finditer(text):
        if escape["lone"]:
            where = f"at character {escape.start()}"
            raise errors.Malformed(f"a lone surrogate (\\{escape['lone']}) {where}")


def _integer(text: str) -> int:
    if len(text) > 300:  # only then can it overflow, and Python stops at 4300 digits
        _float(text)
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise errors.Malformed(f"a number out of range: {_brief(text)}")
    return number


def _constant(text: str) -> NoReturn:
    raise errors.Malformed(f"{text} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise errors.Malformed(f"a key given twice: {_brief(json.dumps(twice))}")
    return value


def _brief(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


_DECODER = json.JSONDecoder(
    parse_float=_float, parse_int=_integer, parse_constant=_constant, object_pairs_hook=_object
)
