"""What an account counts and adds up: for the day, and since it was opened."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

ZERO = Decimal(0)


class Day(Struct, frozen=True):
    """Sums of one UTC day.  equity: quote units at its first instant; breaker: why it is tripped, or "".

    trades, wins, losses: positions closed.  realised: quote units before fees and funding, which are what was paid.
    """

    number: int
    equity: Decimal
    entries: int = 0
    trades: int = 0
    wins: int = 0
    losses: int = 0
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    losing_streak: int = 0
    breaker: str = ""
    breaker_at_ns: int | None = None


class Totals(Struct, frozen=True):
    """What happened since the account was opened.  fees, funding: quote units paid; realised excludes them."""

    signals: int = 0
    refusals: int = 0
    orders: int = 0
    fills: int = 0
    trades: int = 0
    wins: int = 0
    losses: int = 0
    fees: Decimal = ZERO
    realised: Decimal = ZERO
    funding: Decimal = ZERO
