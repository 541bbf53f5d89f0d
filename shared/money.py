"""Money: integers of micros. One cent is 10,000 micros; nothing is ever a float."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

CENT = 10_000  # micros
MOST_CENTS = 1_000_000_000  # what one amount may be at most: ten million dollars


def from_cents(cents: int | float | str | Decimal) -> int:
    """The micros of an amount in cents, exactly.

    A float counts as the shortest decimal that denotes it, as it was written in the JSON. Raises
    ValueError where the amount is negative, too large, or has more than 4 decimals.
    """
    try:
        amount = Decimal(str(cents))
    except InvalidOperation:
        raise ValueError("must be a number of cents") from None
    if isinstance(cents, bool) or not amount.is_finite():
        raise ValueError("must be a number of cents")
    if not 0 <= amount <= MOST_CENTS:
        raise ValueError(f"must lie between 0 and {MOST_CENTS} cents")
    micros = amount * CENT
    if micros != micros.to_integral_value():
        raise ValueError("must have at most 4 decimals")
    return int(micros)


def to_cents(micros: int) -> int | float:
    """An amount in cents for JSON: an integer where it is one, else at most 4 decimals."""
    whole, rest = divmod(micros, CENT)
    return whole if not rest else float(Decimal(micros) / CENT)
