"""Where the result of a backtest comes from: by month, by session, by side and by reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import numpy as np
from msgspec import Struct

from promethean.domain.candles import FloatArray, IntArray
from promethean.domain.instants import DAY_NS, to_datetime
from promethean.domain.sessions import sessions_at
from promethean.evaluation.ledger import Part
from promethean.evaluation.metrics import daily_equity

_SHOWN = {"asia": "Asia", "europe": "Europe", "us": "US"}  # sessions, as people read them


class Group(Struct, frozen=True):
    """Closed parts that have something in common.  pnl, fees: quote units."""

    name: str
    parts: int
    won: int
    pnl: Decimal
    fees: Decimal


class Year(Struct, frozen=True):
    """Returns of one year, percent: of its twelve months, None where there was no candle, and of all of it."""

    year: int
    months: tuple[float | None, ...]
    total: float


def monthly_returns(equity: FloatArray, open_time_ns: IntArray, cash: float) -> list[Year]:
    """Percent a month and a year.

    equity: quote units at the close of every candle.  cash: quote units at the start.
    """
    daily = daily_equity(equity, open_time_ns)
    days = np.unique(open_time_ns // DAY_NS)
    ends: dict[tuple[int, int], float] = {}
    for day, value in zip(days.tolist(), daily.tolist(), strict=True):
        when = to_datetime(day * DAY_NS)
        ends[when.year, when.month] = value
    years: dict[int, list[float | None]] = {}
    totals: dict[int, float] = {}
    before = cash
    for (year, month), value in ends.items():
        months = years.setdefault(year, [None] * 12)
        months[month - 1] = 100.0 * (value / before - 1.0)
        totals[year] = totals.get(year, 1.0) * value / before
        before = value
    return [Year(year, tuple(months), 100.0 * (totals[year] - 1.0)) for year, months in years.items()]


def by_reason(parts: Sequence[Part]) -> list[Group]:
    """By why they were closed."""
    return _grouped(parts, lambda part: (part.reason,))


def by_side(parts: Sequence[Part]) -> list[Group]:
    """Longs and shorts."""
    return _grouped(parts, lambda part: ("long" if part.side.sign > 0 else "short",))


def by_session(parts: Sequence[Part]) -> list[Group]:
    """By the session of their entry; sessions overlap, and a part counts in each that it belongs to."""

    def sessions(part: Part) -> tuple[str, ...]:
        return tuple(_SHOWN[name] for name in sessions_at(part.opened_at_ns)) or ("between sessions",)

    return _grouped(parts, sessions)


def drawdown(equity: FloatArray, cash: float) -> FloatArray:
    """Percent below the highest equity so far, at the close of every candle; zero or below."""
    peaks = np.maximum(np.maximum.accumulate(equity), cash)
    return 100.0 * (equity / peaks - 1.0)


def _grouped(parts: Sequence[Part], names: Callable[[Part], tuple[str, ...]]) -> list[Group]:
    found: dict[str, list[Part]] = {}
    for part in parts:
        for name in names(part):
            found.setdefault(name, []).append(part)
    return [
        Group(
            name,
            len(group),
            sum(part.pnl > 0 for part in group),
            sum((part.pnl for part in group), Decimal(0)),
            sum((part.fees for part in group), Decimal(0)),
        )
        for name, group in sorted(found.items())
    ]
