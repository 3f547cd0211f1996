"""Commodity channel index."""

from __future__ import annotations

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator
from promethean.indicators.trend.sma import sma

FLAT = 1e-12  # of the typical price; a smaller mean deviation is the rounding of (high + low + close) / 3


def cci_window(period: int = 20) -> int:
    """Trailing candles that decide the last value, exactly."""
    return period


@indicator("cci", window=cci_window)
def cci(high: FloatArray, low: FloatArray, close: FloatArray, period: int = 20) -> FloatArray:
    """Commodity channel index: how many mean deviations the typical price is from its average.

    Not TA-Lib's, which gives up to 66 for the mere rounding of a flat price, and 0 without rounding.

    high, low, close: float64, shape (n,), oldest first, quote units per base unit.
    period:  candles in the averages, at least 2: one candle does not deviate from itself.
    Returns: float64, shape (n,); the first `period` - 1 values are NaN, and those where the typical price was flat for
             the whole period: 0 / 0 is no deviation.
    Raises:  ValueError when `period` is below 2.
    Source:  Lambert (1980), Commodity Channel Index: (typical - SMA) / (0.015 * mean deviation), typical being
             (high + low + close) / 3.
    """
    if period < 2:
        raise ValueError(f"the period of a CCI is at least 2, not {period}")
    from promethean.indicators.momentum._kernels import sliding_distance

    typical = (high + low + close) / 3
    mean = sma(typical, period)
    deviation = sliding_distance(typical, mean, period)
    values = np.full(len(typical), np.nan)
    np.divide(typical - mean, 0.015 * deviation, out=values, where=deviation > FLAT * mean)
    return values
