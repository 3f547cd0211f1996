"""An amount of one currency."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

MONEY_STEP = Decimal("1e-12")
"""Quotients are cut here once, so that ledger rows sum to zero in NUMERIC(38,18)."""


class Money(Struct, frozen=True):
    """amount: Decimal, in units of `currency`; may be negative (a rebate, a loss)."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not self.amount.is_finite():
            raise ValueError(f"{self.amount} {self.currency} is not an amount")

    def __add__(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise ValueError(f"cannot add {other.currency} to {self.currency}")
        return Money(self.amount + other.amount, self.currency)

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


def quantum(places: int) -> Decimal:
    """The smallest step with so many decimal places: quantum(2) is 0.01."""
    return Decimal(1).scaleb(-places)


def plain(amount: Decimal) -> str:
    """Decimal text without exponent and without trailing zeros, as journals, tables and people get it."""
    text = format(amount, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
