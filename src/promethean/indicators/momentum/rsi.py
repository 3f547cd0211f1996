"""Relative strength index."""

from __future__ import annotations

import numpy as np
import talib

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator


def rsi_window(period: int = 14) -> int:
    """Trailing closes that decide the last value: Wilder's weight of anything older is below e**-32."""
    return 33 * period + 1


@indicator("rsi", window=rsi_window)
def rsi(close: FloatArray, period: int = 14) -> FloatArray:
    """Relative strength index with Wilder's smoothing.

    close:   float64, shape (n,), oldest first, quote units per base unit.
    period:  candles in the average, at least 1.
    Returns: float64, shape (n,), in [0, 100]; the first `period` values are NaN.
    Raises:  ValueError when `period` is below 1.
    Source:  Wilder (1978), New Concepts in Technical Trading Systems:
             RSI = 100 - 100 / (1 + U / D), with U and D the smoothed gains and losses.
    """
    if period < 1:
        raise ValueError(f"the period of an RSI is at least 1, not {period}")
    if len(close) <= period:
        return np.full(len(close), np.nan)
    if period == 1:
        # TA-Lib starts at 2.  With one candle in the average, U or D is the last change itself; without change, 0.
        change = np.diff(close, prepend=np.nan)
        return np.where(np.isnan(change), np.nan, np.where(change > 0, 100.0, 0.0))
    values: FloatArray = talib.RSI(close, period)
    return values
