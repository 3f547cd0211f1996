"""Rate of change."""

from __future__ import annotations

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator


def roc_window(period: int = 12) -> int:
    """Trailing closes that decide the last value, exactly."""
    return period + 1


@indicator("roc", window=roc_window)
def roc(close: FloatArray, period: int = 12) -> FloatArray:
    """Rate of change: how much the close differs from that of some candles ago, as a fraction of it.

    close:   float64, shape (n,), oldest first, quote units per base unit.
    period:  candles between the two closes, at least 1.
    Returns: float64, shape (n,), not below -1 (0.05 is 5 % more); the first `period` values are NaN.
    Raises:  ValueError when `period` is below 1.
    Source:  close[i] / close[i - period] - 1.
    """
    if period < 1:
        raise ValueError(f"the period of a rate of change is at least 1, not {period}")
    values = np.full(len(close), np.nan)
    values[period:] = close[period:] / close[:-period] - 1
    return values
