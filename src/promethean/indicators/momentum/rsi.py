"""Relative strength index."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator

BoolArray: TypeAlias = NDArray[np.bool_]


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
    import talib  # brings pandas along: a second that only those wait who compute whole arrays

    values: FloatArray = talib.RSI(close, period)
    changed = close[1:] != close[:-1]
    longest = STILL_PERIODS * period
    if len(changed) - np.count_nonzero(changed) > longest or not changed[:period].any():
        values[1:][_still(changed, longest)] = np.nan  # TA-Lib says 0 where nothing ever moved: oversold
    return values


def _still(changed: BoolArray, longest: int) -> BoolArray:
    """Where the last change lies more than `longest` places back, or never came."""
    places = np.arange(len(changed))
    last = np.maximum.accumulate(np.where(changed, places, -longest - 1))
    return places - last > longest
