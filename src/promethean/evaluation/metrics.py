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
    exposure_pct:     share of candles at whose close a position was held, percent.
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
    sharpe: float | None
    sharpe_raw: float | None
    sortino: float | None
    sortino_raw: float | None
    days: int
    exposure_pct: float
    turnover: float
    average_hold_candles: float | None


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
        max_drawdown_pct=100.0 * float((falls / peaks).min()),
        max_drawdown=float(falls.min()),
        sharpe=None if sharpe is None else sharpe * year,
        sharpe_raw=sharpe,
        sortino=None if sortino is None else sortino * year,
        sortino_raw=sortino,
        days=len(daily),
        exposure_pct=100.0 * float(np.count_nonzero(held)) / len(equity) if len(equity) else 0.0,
        turnover=float(sum((trade.notional for trade in books.trades), Decimal(0))) / cash,
        average_hold_candles=float(np.mean([t.closed - t.opened for t in books.trades])) if count else None,
    )


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
