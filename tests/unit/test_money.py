"""Money is exact: integers of micros, four decimals of a cent, and nothing is ever rounded."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from shared import money

MICROS = st.integers(0, money.MOST_CENTS * money.CENT)


@given(MICROS)
def test_any_amount_survives_the_way_through_json(micros: int) -> None:
    sent = json.dumps(money.to_cents(micros))
    assert money.from_cents(json.loads(sent)) == micros


@given(MICROS)
def test_what_is_shown_is_the_amount_exactly(micros: int) -> None:
    assert Decimal(str(money.to_cents(micros))) * money.CENT == micros


@given(st.integers(0, money.MOST_CENTS - 1), st.integers(0, 9999))
def test_a_float_counts_as_the_decimal_that_was_written(cents: int, decimals: int) -> None:
    written = f"{cents}.{decimals:04}"
    assert money.from_cents(json.loads(written)) == money.from_cents(written)
    assert money.from_cents(written) == cents * money.CENT + decimals


@pytest.mark.parametrize(
    ("cents", "micros"),
    [
        (0, 0),
        (1, 10_000),
        (0.0001, 1),
        (0.1, 1000),
        (4.35, 43_500),
        ("12.5", 125_000),
        (1e3, 10**7),
    ],
)
def test_amounts_in_cents_are_micros(cents: float | str, micros: int) -> None:
    assert money.from_cents(cents) == micros


@pytest.mark.parametrize(
    ("cents", "why"),
    [
        (0.00001, "at most 4 decimals"),
        (0.1 + 0.2, "at most 4 decimals"),
        (-1, "between 0 and"),
        (-0.0001, "between 0 and"),
        (money.MOST_CENTS + 1, "between 0 and"),
        (10**400, "between 0 and"),
        (1e300, "between 0 and"),
        (float("nan"), "a number of cents"),
        (float("inf"), "a number of cents"),
        (True, "a number of cents"),
        ("", "a number of cents"),
        ("ten", "a number of cents"),
    ],
)
def test_what_is_no_amount_is_refused(cents: float | str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        money.from_cents(cents)


def test_whole_cents_are_shown_as_integers() -> None:
    assert [repr(money.to_cents(micros)) for micros in (50_000, 5000, 1)] == ["5", "0.5", "0.0001"]
