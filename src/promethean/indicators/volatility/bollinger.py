"""Bollinger bands."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator
from promethean.indicators.ta_lib import ta_lib
from promethean.indicators.trend.sma import sma

SQUEEZE_CANDLES = 120  # the width is squeezed when it is the lowest of so many


class Bollinger(NamedTuple):
    """The bands and where the close stands in them; float64, shape (n,) each.

    middle, upper, lower: quote units per base unit.
    width: from lower to upper, as a fraction of the middle.
    percent_b: where the close is, 0 at the lower band and 1 at the upper one; it may be beyond.
    squeeze: 1 where the width is the lowest of 120 candles, else 0.
    """

    middle: FloatArray
    upper: FloatArray
    lower: FloatArray
    width: FloatArray
    percent_b: FloatArray
    squeeze: FloatArray


def bollinger_window(period: int = 20) -> int:
    """Trailing closes that decide the last values, exactly: those of the oldest width that is compared."""
    return period + SQUEEZE_CANDLES - 1


@indicator("bollinger", window=bollinger_window)
def bollinger(close: FloatArray, period: int = 20, deviations: float = 2.0) -> Bollinger:
    """Bollinger bands: a simple average and standard deviations around it.

    close:   float64, shape (n,), oldest first, quote units per base unit.
    period:  candles in average and deviation, at least 1.
    deviations: standard deviations between the middle and a band, above 0.
    Returns: Bollinger; the first `period` - 1 values are NaN, of the squeeze 119 more.  percent_b is NaN where all
             closes of the period are equal: bands of no width have no inside.
    Raises:  ValueError when `period` is below 1 or `deviations` is not a positive number.
    Source:  Bollinger (2001), Bollinger on Bollinger Bands: middle +- deviations * sigma, sigma of the population
             (divided by `period`); width = (upper - lower) / middle, percent_b = (close - lower) / (upper - lower).
    """
    if period < 1:
        raise ValueError(f"the period of Bollinger bands is at least 1, not {period}")
    if not 0 < deviations < math.inf:
        raise ValueError(f"the deviations of Bollinger bands are above 0, not {deviations}")
    from promethean.indicators.volatility._kernels import sliding_deviation

    middle = sma(close, period)
    reach = deviations * sliding_deviation(close, middle, period)
    width = 2 * reach / middle
    percent_b = np.full(len(close), np.nan)
    np.divide(close - middle, 2 * reach, out=percent_b, where=reach > 0)
    lowest: FloatArray = ta_lib().MIN(width, SQUEEZE_CANDLES)
    squeeze = np.where(np.isnan(lowest), np.nan, width <= lowest)
    return Bollinger(middle, middle + reach, middle - reach, width, percent_b + 0.5, squeeze)
