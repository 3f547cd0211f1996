"""Figures of merit from books and an equity curve, all net of fees and slippage (SPEC 12.1)."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
from msgspec import Struct

from promethean.domain.candles import FloatArray, IntArray
from promethean.domain.instants import DAY_NS
from promethean.evaluation.ledger import Books

DAYS_A_YEAR = 365
RELIABLE_DAYS = 30


class Metrics(Struct, frozen=True):
    """What a run came to; None where a figure cannot be known.

    sharpe, sortino:  annualised by the square root of 365; the raw ones are of daily returns.
    max_drawdown_pct: of daily equity, percent, zero or below.
    drawdown_from, drawdown_to, drawdown_recovered: days since 1970-01-01 (UTC) of the peak, of the lowest equity after
                      it, and of the first equity back at the peak; None where it never came back, or never fell.
    calmar:           return a year, by compounding, over the largest drawdown.
    exposure_pct:     share of candles at whose close a position was held, percent.
    turnover:         what was entered, as a multiple of the cash at the start.
    win_streak, loss_streak: most trades in a row that won, and that lost.
    cost_share_pct:   fees of what the trades that gained had gained before fees, percent.  Slippage is in the prices.
    """

    trades: int
    wins: int
    losses: int
    win_rate_pct: float | None
    profit_factor: float | None
    expected_value: float | None
    average_win: float | None
    average_loss: float | None
    best: float | None
    worst: float | None
    return_pct: float
    max_drawdown_pct: float
    max_drawdown: float
    drawdown_from: int | None
    drawdown_to: int | None
    drawdown_recovered: int | None
    calmar: float | None
    sharpe: float | None
    sharpe_raw: float | None
    sortino: float | None
    sortino_raw: float | None
    days: int
    exposure_pct: float
    turnover: float
    average_hold_candles: float | None
    win_streak: int
    loss_streak: int
    cost_share_pct: float | None


class Excursions(Struct, frozen=True):
    """How far trades went before they were closed, percent of their entry price, float64, one value a trade.

    against: the furthest against the position (MAE), zero or below.  along: the furthest with it (MFE), zero or above.
    """

    against: FloatArray
    along: FloatArray


def excursions(books: Books, high: FloatArray, low: FloatArray) -> Excursions:
    """The excursions of the trades.

    Seen are the candles from that of the entry to the one before the last exit, and the exit prices: what a candle did
    after an exit inside it is not the position's.  high, low: quote units per base unit, one value a candle.
    """
    trades = books.trades
    if not trades:
        return Excursions(np.empty(0), np.empty(0))
    top, bottom, entry = np.full(len(trades), -np.inf), np.full(len(trades), np.inf), np.ones(len(trades))
    for part in books.parts:
        if part.trade > len(trades):
            continue  # a position that is still open
        number, price = part.trade - 1, float(part.exit_price)
        top[number], bottom[number] = max(top[number], price), min(bottom[number], price)
        entry[number] = float(part.entry_price)
    opened, closed = (np.array([getattr(trade, name) for trade in trades]) for name in ("opened", "closed"))
    longer = np.flatnonzero(closed > opened)
    if len(longer):
        edges = np.column_stack((opened[longer], closed[longer])).ravel()
        top[longer] = np.maximum(top[longer], np.maximum.reduceat(high, edges)[::2])
        bottom[longer] = np.minimum(bottom[longer], np.minimum.reduceat(low, edges)[::2])
    sign = np.array([trade.side.sign for trade in trades])
    best, worst = np.where(sign > 0, top, bottom), np.where(sign > 0, bottom, top)
    along, against = (100.0 * sign * (price / entry - 1.0) for price in (best, worst))
    return Excursions(np.minimum(against, 0.0), np.maximum(along, 0.0))


def measure(books: Books, equity: FloatArray, cash: float, open_time_ns: IntArray) -> Metrics:
    """The figures of one run.

    equity: quote units at the close of every candle.  cash: quote units at the start.
    """
    profits = np.array([float(trade.pnl) for trade in books.trades])
    won, lost = profits[profits > 0], profits[profits < 0]
    daily = daily_equity(equity, open_time_ns)
    # The last day is the end of the account: what was open then is closed, with its fee.
    daily[-1:] = float(books.cash)
    with_start = np.concatenate(([cash], daily))
    peaks = np.maximum.accumulate(with_start)
    falls = with_start - peaks
    returns = np.diff(with_start) / with_start[:-1] if (with_start > 0).all() else np.array([])
    sharpe, sortino = _ratio(returns, returns), _ratio(returns, np.minimum(returns, 0.0), about=0.0)
    year = math.sqrt(DAYS_A_YEAR)
    ratio = float((falls / peaks).min())
    held = _held(books, len(equity))
    count = len(profits)
    return Metrics(
        trades=count,
        wins=len(won),
        losses=len(lost),
        win_rate_pct=100.0 * len(won) / count if count else None,
        profit_factor=(float(won.sum() / -lost.sum()) if len(lost) else math.inf if len(won) else None),
        expected_value=float(profits.mean()) if count else None,
        average_win=float(won.mean()) if len(won) else None,
        average_loss=float(lost.mean()) if len(lost) else None,
        best=float(profits.max()) if count else None,
        worst=float(profits.min()) if count else None,
        return_pct=100.0 * (float(books.cash) / cash - 1.0),
        max_drawdown_pct=100.0 * ratio,
        max_drawdown=float(falls.min()),
        **_drawdown_days(with_start, peaks, open_time_ns),
        calmar=_calmar(float(books.cash) / cash, len(daily), -ratio),
        sharpe=None if sharpe is None else sharpe * year,
        sharpe_raw=sharpe,
        sortino=None if sortino is None else sortino * year,
        sortino_raw=sortino,
        days=len(daily),
        exposure_pct=100.0 * float(np.count_nonzero(held)) / len(equity) if len(equity) else 0.0,
        turnover=float(sum((trade.notional for trade in books.trades), Decimal(0))) / cash,
        average_hold_candles=float(np.mean([t.closed - t.opened for t in books.trades])) if count else None,
        win_streak=_longest(profits > 0),
        loss_streak=_longest(profits < 0),
        cost_share_pct=_cost_share(books),
    )


def _drawdown_days(equity: FloatArray, peaks: FloatArray, open_time_ns: IntArray) -> dict[str, int | None]:
    """The days of the largest drawdown.  equity, peaks: at the start and at the end of every day."""
    lowest = int(np.argmin(equity / peaks - 1.0))
    if not len(open_time_ns) or equity[lowest] >= peaks[lowest]:
        return dict.fromkeys(("drawdown_from", "drawdown_to", "drawdown_recovered"))
    days = np.unique(open_time_ns // DAY_NS)
    days = np.concatenate((days[:1], days))  # the start counts as the first day
    peak = int(np.flatnonzero(equity[: lowest + 1] == peaks[lowest])[-1])
    back = np.flatnonzero(equity[lowest:] >= peaks[lowest])
    return {
        "drawdown_from": int(days[peak]),
        "drawdown_to": int(days[lowest]),
        "drawdown_recovered": int(days[lowest + back[0]]) if len(back) else None,
    }


def _calmar(growth: float, days: int, fall: float) -> float | None:
    if growth <= 0 or not days or fall <= 0:
        return None
    exponent = math.log(growth) * DAYS_A_YEAR / days
    return math.expm1(exponent) / fall if exponent < 100 else None  # a day's luck, compounded, is no number


def _longest(marks: Any) -> int:
    """The most marks in a row."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], marks.astype(np.int8), [0]))))
    return int(np.diff(edges)[::2].max()) if len(edges) else 0


def _cost_share(books: Books) -> float | None:
    gained = sum((trade.pnl + trade.fees for trade in books.trades if trade.pnl + trade.fees > 0), Decimal(0))
    return 100.0 * float(books.fees / gained) if gained else None


def daily_equity(equity: FloatArray, open_time_ns: IntArray) -> FloatArray:
    """Equity at the last close of every UTC day, quote units."""
    if not len(equity):
        return np.array([])
    days = open_time_ns // DAY_NS
    last = np.append(np.flatnonzero(np.diff(days)), len(equity) - 1)
    ends: FloatArray = equity[last]
    return ends


def _ratio(returns: FloatArray, spread: FloatArray, about: float | None = None) -> float | None:
    """Mean return over the deviation of `spread` from its mean, or from `about`; None where there is none."""
    if len(returns) < 2:
        return None
    deviation = float(np.std(spread, ddof=1)) if about is None else math.sqrt(float(np.mean((spread - about) ** 2)))
    return float(np.mean(returns)) / deviation if deviation > 0 else None


def _held(books: Books, candles: int) -> Any:
    lengths = np.diff(np.concatenate(([0], books.at, [candles])))
    return np.repeat(np.concatenate(([0.0], books.held)), lengths)
