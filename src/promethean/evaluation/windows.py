"""A backtest cut into windows of equal length: does it earn all along, or once?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from msgspec import Struct

from promethean.domain.candles import CandleSeries, FloatArray
from promethean.evaluation.backtest import Backtest
from promethean.evaluation.metrics import DAYS_A_YEAR, daily_equity
from promethean.evaluation.significance import moments


class Window(Struct, frozen=True):
    """One window.

    first, stop:      numbers of its candles, the end not included.
    trades:           positions closed in it.  wins: those with a profit.
    return_pct:       of the equity at its start.  sharpe: annualised, of daily returns; None where unknown.
    max_drawdown_pct: of daily equity, percent, zero or below.
    """

    first: int
    stop: int
    trades: int
    wins: int
    return_pct: float
    sharpe: float | None
    max_drawdown_pct: float


def split(result: Backtest, candles: CandleSeries, cash: float, windows: int) -> list[Window]:
    """One backtest in so many windows of equal length, without gaps between them; fewer where there is no candle.

    cash: quote units at the start.
    """
    equity = result.equity.copy()
    equity[-1:] = float(result.books.cash)  # what was open at the last close is closed, with its fee
    edges = np.unique(np.linspace(0, len(candles), windows + 1).astype(np.int64)).tolist()
    trades = result.books.trades
    closed = np.array([trade.closed for trade in trades], np.int64)
    won = np.array([trade.pnl > 0 for trade in trades], np.bool_)
    found = []
    for first, stop in pairwise(edges):
        within = (closed >= first) & (closed < stop)
        before = cash if first == 0 else float(equity[first - 1])
        daily = np.concatenate(([before], daily_equity(equity[first:stop], candles.open_time_ns[first:stop])))
        peaks = np.maximum.accumulate(daily)
        sharpe = moments(daily_returns(daily))
        found.append(
            Window(
                first, stop, int(within.sum()), int((within & won).sum()),
                100.0 * (float(daily[-1]) / before - 1.0) if before > 0 else 0.0,
                None if sharpe is None else sharpe[0] * math.sqrt(DAYS_A_YEAR),
                100.0 * float((daily / peaks - 1.0).min()) if before > 0 else 0.0,
            )
        )  # fmt: skip
    return found


def daily_returns(daily: FloatArray) -> FloatArray:
    """Returns from one value to the next, fractions; none where equity did not stay above zero."""
    if len(daily) < 2 or not (daily > 0).all():
        return np.empty(0)
    returns: FloatArray = np.diff(daily) / daily[:-1]
    return returns


def consistency(windows: Sequence[Window]) -> float | None:
    """Share of the windows with a trade that earned something; None where none has a trade."""
    traded = [window for window in windows if window.trades]
    return sum(window.return_pct > 0 for window in traded) / len(traded) if traded else None
