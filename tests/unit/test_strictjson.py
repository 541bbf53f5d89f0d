"""Strict JSON: what has one meaning is read, and everything else is refused by name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from shared import errors, strictjson

DEEPEST = strictjson.MOST_DEPTH + 1  # of a text: a value, and the object around it

REFUSED = {
    "empty": (b"", "not JSON"),
    "cut off": (b'{"a":', "not JSON"),
    "two values": (b"1 2", "Extra data"),
    "leading zero": (b"01", "Extra data"),
    "control character": (b'"\x01"', "control character"),
    "byte order mark": (b"\xef\xbb\xbf{}", "byte order mark"),
    "UTF-16": ("{}".encode("utf-16"), "not UTF-8 at byte 0"),
    "UTF-16 without a mark": ("{}".encode("utf-16-le"), "not JSON"),
    "UTF-32": ("{}".encode("utf-32-be"), "not JSON"),
    "Latin-1": (b'"\xe9"', "not UTF-8 at byte 1"),
    "overlong UTF-8": (b'"\xc0\xaf"', "not UTF-8 at byte 1"),
    "NaN": (b'{"a":NaN}', "NaN is not JSON"),
    "Infinity": (b"[Infinity]", "Infinity is not JSON"),
    "-Infinity": (b"-Infinity", "-Infinity is not JSON"),
    "float overflow": (b"1e999", "out of range"),
    "integer overflow": (b"9" * 309, "out of range"),
    "5000 digits": (b"1" * 5000, "out of range"),
    "-5000 digits": (b"-" + b"1" * 5000, "out of range"),
    "a key twice": (b'{"a":1,"b":2,"a":1}', 'given twice: "a"'),
    "a key twice, escaped": (b'{"x":[{"a":1,"\\u0061":1}]}', 'given twice: "a"'),
    "raw lone surrogate": (b'"\xed\xa0\x80"', "not UTF-8 at byte 1"),
    "escaped high surrogate": (b'{"a":"\\ud800"}', r"\ud800) at character 6"),
    "escaped low surrogate": (b'"\\uDC00"', "lone surrogate"),
    "surrogates in the wrong order": (b'"\\udc00\\ud800"', "lone surrogate"),
    "a lone one before a pair": (b'"\\ud800\\ud83d\\ude00"', "lone surrogate"),
    "a lone one after a backslash": (b'"\\\\\\ud800"', "lone surrogate"),
    "lone surrogate as a key": (b'{"\\ud800":1}', "lone surrogate"),
    "lone surrogate as a key, twice": (b'{"\\ud800":1,"\\ud800":1}', "given twice"),
    "one level too deep": (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), "nested deeper"),
    "100,000 arrays": (b"[" * 100_000, "nested deeper"),
    "100,000 objects": (b'{"a":' * 100_000, "nested deeper"),
    "deep behind a string": (b'["\\"",' + b"[" * 100_000, "nested deeper"),
}

READ = {
    "a pair of surrogates": (b'"\\ud83d\\ude00"', "😀"),
    "an escaped backslash before ud800": (b'"\\\\ud800"', "\\ud800"),
    "brackets in a string": (b'"\\"' + b"[{" * 1000 + b'"', '"' + "[{" * 1000),
    "an unclosed quote of brackets": (b'["a","' + b"]" * 1000 + b'"]', ["a", "]" * 1000]),
    "many brackets side by side": (b"[" + b"[]," * 1000 + b"[]]", [[]] * 1001),
    "a big integer, exactly": (b"9007199254740993", 9007199254740993),
    "300 digits, exactly": (b"1" * 300, int("1" * 300)),
    "an underflow is zero": (b"1e-999", 0.0),
    "white space": (b" \r\n\t{ } ", {}),
    "NUL, escaped": (b'"\\u0000"', "\0"),
}


@pytest.mark.parametrize(("data", "why"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_single_meaning_is_malformed_and_says_why(data: bytes, why: str) -> None:
    with pytest.raises(errors.Malformed) as caught:
        strictjson.loads(data)
    assert why in caught.value.detail
    assert len(caught.value.detail.encode()) < 200


@pytest.mark.parametrize(("data", "value"), READ.values(), ids=READ)
def test_what_is_valid_is_read_exactly(data: bytes, value: object) -> None:
    assert strictjson.loads(data) == value


def test_the_deepest_level_is_read() -> None:
    strictjson.loads(b"[" * DEEPEST + b"]" * DEEPEST)


@pytest.mark.parametrize(
    "data", [b'"' + b'\\"' * 130_000, b'"\\' * 130_000, b"[" + b'"a",' * 65_000]
)
def test_a_hostile_body_takes_linear_time(data: bytes) -> None:
    """Quadratic, each would take minutes: the test run's own patience is the bound."""
    with pytest.raises(errors.Malformed):
        strictjson.loads(b"[" * DEEPEST + data + b"[")


@given(
    st.binary(max_size=200)
    | st.text(alphabet='{}[]",:\\ud8eE+-.0123 \n', max_size=200).map(str.encode)
)
def test_any_bytes_are_read_as_python_does_or_malformed(data: bytes) -> None:
    try:
        value = strictjson.loads(data)
    except errors.Malformed:
        return
    assert json.loads(data) == value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_what_is_written_is_read_back_the_same(value: object) -> None:
    assert strictjson.loads(strictjson.dumps(value).encode()) == value


def test_a_value_as_deep_as_may_be_still_fits_into_a_message() -> None:
    value: object = 0
    for _ in range(strictjson.MOST_DEPTH):
        value = [value]
    message = strictjson.compact({"payload": json.loads(strictjson.dumps(value))})
    assert strictjson.loads(message.encode()) == {"payload": value}
    with pytest.raises(ValueError, match="nested deeper"):
        strictjson.dumps([value])


def test_writing_is_compact_and_keeps_characters() -> None:
    assert strictjson.dumps({"a": ["é", 1]}) == '{"a":["é",1]}'


RECURSIVE: list[object] = []
RECURSIVE.append(RECURSIVE)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        "\ud800",
        {1, 2},
        object(),
        {1: 0, "1": 0},
        10**400,
        10**5000,
        RECURSIVE,
    ],
    ids=["nan", "inf", "surrogate", "set", "object", "twice", "double", "digits", "recursive"],
)
def test_what_could_not_be_read_back_is_never_written(value: object) -> None:
    with pytest.raises(ValueError, match="JSON"):
        strictjson.dumps(value)
