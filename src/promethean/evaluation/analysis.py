"""Where the result of a backtest comes from: by month, session, side, reason, regime and set-up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import numpy as np
from msgspec import Struct

from promethean.domain.candles import FloatArray, IntArray
from promethean.domain.instants import DAY_NS, to_datetime
from promethean.domain.market import Side
from promethean.domain.sessions import sessions_at
from promethean.evaluation.ledger import Part, Trade
from promethean.evaluation.metrics import daily_equity
from promethean.indicators.trend.regime import REGIMES
from promethean.strategies.frame import Frame
from promethean.strategies.setups import Setup

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


def by_regime(parts: Sequence[Part], frame: Frame) -> list[Group]:
    """By the regime that was known at their entry: that of the last candle closed by then."""
    if not parts:
        return []
    (codes,) = frame.indicator("regime", {}, frame.timeframe)
    found = codes[_known_at(parts, frame)]
    names = ["not known yet" if np.isnan(code) else REGIMES[int(code)] for code in found]
    return _named(parts, [(name,) for name in names])


def by_setup(parts: Sequence[Part], setups: Sequence[Setup], frame: Frame) -> list[Group]:
    """By what let them in; a part counts in each set-up that held at the candle that asked for its entry."""
    if not parts:
        return []
    places = _known_at(parts, frame)
    names: list[tuple[str, ...]] = [()] * len(parts)
    for side in Side:
        of_side = [setup for setup in setups if setup.side is side]
        if not of_side:
            continue
        asked = np.flatnonzero(np.logical_or.reduce([setup.holds for setup in of_side]))
        for number, part in enumerate(parts):
            last = int(np.searchsorted(asked, places[number], side="right")) - 1
            if part.side is side and last >= 0:
                names[number] = tuple(setup.name for setup in of_side if setup.holds[asked[last]])
    return _named(parts, names)


def _known_at(parts: Sequence[Part], frame: Frame) -> IntArray:
    """At each entry, the last candle closed by then; the first one where there was none."""
    opened = np.array([part.opened_at_ns for part in parts])
    places: IntArray = np.maximum(np.searchsorted(frame.close_time_ns, opened, side="right") - 1, 0)
    return places


class Hole(Struct, frozen=True):
    """Candles that are missing in a row.  since_ns: when the first of them would have opened."""

    since_ns: int
    candles: int


def holes(open_time_ns: IntArray, length_ns: int) -> list[Hole]:
    """Where candles are missing between the first and the last, in order of time.  length_ns: of a candle."""
    steps = np.diff(open_time_ns) // length_ns
    return [
        Hole(int(open_time_ns[place]) + length_ns, int(steps[place]) - 1)
        for place in np.flatnonzero(steps > 1).tolist()
    ]


class OverHoles(Struct, frozen=True):
    """Trades that were held while candles are missing.  pnl: what they came to together, quote units."""

    trades: int
    pnl: Decimal


def over_holes(trades: Sequence[Trade], open_time_ns: IntArray, length_ns: int) -> OverHoles:
    """The trades with a hole between the candle of their entry and that of their exit.  length_ns: of a candle."""
    before = np.concatenate(([0], np.cumsum(np.diff(open_time_ns) > length_ns)))  # holes before each candle
    held = [trade.pnl for trade in trades if before[trade.closed] > before[trade.opened]]
    return OverHoles(len(held), sum(held, Decimal(0)))


def drawdown(equity: FloatArray, cash: float) -> FloatArray:
    """Percent below the highest equity so far, at the close of every candle; zero or below."""
    peaks = np.maximum(np.maximum.accumulate(equity), cash)
    return 100.0 * (equity / peaks - 1.0)


def _grouped(parts: Sequence[Part], names: Callable[[Part], tuple[str, ...]]) -> list[Group]:
    return _named(parts, [names(part) for part in parts])


def _named(parts: Sequence[Part], names: Sequence[tuple[str, ...]]) -> list[Group]:
    """Groups of parts that share one of their names."""
    found: dict[str, list[Part]] = {}
    for part, of_part in zip(parts, names, strict=True):
        for name in of_part:
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
