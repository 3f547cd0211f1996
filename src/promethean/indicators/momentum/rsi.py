"""Relative strength index."""

from __future__ import annotations

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator
from promethean.indicators.ta_lib import ta_lib

STILL_PERIODS = 10  # after so many periods without one change there is no strength to speak of


def rsi_window(period: int = 14) -> int:
    """Trailing closes that decide the last value.

    Wilder's weight of anything older is below e**-63; the newest change, at most 10 periods old, keeps e**-10.  So an
    old change may be 10**10 times as large and still moves the value by less than 1e-12 of its range.
    """
    return 64 * period + 1


@indicator("rsi", window=rsi_window)
def rsi(close: FloatArray, period: int = 14) -> FloatArray:
    """Relative strength index with Wilder's smoothing.

    close:   float64, shape (n,), oldest first, quote units per base unit.
    period:  candles in the average, at least 1.
    Returns: float64, shape (n,), in [0, 100]; the first `period` values are NaN, and so are those before the first
             change of the price and those after it stood still for more than ten periods: 0 / 0 is no strength.
    Raises:  ValueError when `period` is below 1.
    Source:  Wilder (1978), New Concepts in Technical Trading Systems:
             RSI = 100 - 100 / (1 + U / D), with U and D the smoothed gains and losses.
    """
    if period < 1:
        raise ValueError(f"the period of an RSI is at least 1, not {period}")
    if len(close) <= period:
        return np.full(len(close), np.nan)
    if period == 1:
        # TA-Lib starts at 2.  With one candle in the average, U or D is the last change itself.
        change = np.diff(close, prepend=np.nan)
        return np.where(change > 0, 100.0, np.where(change < 0, 0.0, np.nan))
    values: FloatArray = ta_lib().RSI(close, period)
    for first, stop in _still(close, STILL_PERIODS * period):
        values[first:stop] = np.nan  # TA-Lib says 0 where nothing ever moved: oversold
    return values


def _still(close: FloatArray, longest: int) -> list[tuple[int, int]]:
    """From which candle to which the last change lies more than `longest` candles back, or has never come."""
    same = np.flatnonzero(close[1:] == close[:-1]) + 1  # few, so that looking for long runs of them costs nothing
    if not len(same):
        return []
    breaks = np.flatnonzero(np.diff(same) > 1) + 1
    firsts, lasts = same[np.concatenate(([0], breaks))], same[np.append(breaks, len(same)) - 1]
    runs = zip(firsts.tolist(), lasts.tolist(), strict=True)
    # A run at the beginning has no change before it: all of it is still.
    return [
        (0 if first == 1 else first + longest, last + 1)
        for first, last in runs
        if first == 1 or last - first >= longest
    ]
